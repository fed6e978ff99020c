"""What the steps of a call make the real server do."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.adapters.redis.embedded import EmbeddedServer

from .baseline import REMEDY, WIDE_MARGIN, kept, strays
from .server import Account, Heard, costs, looked_at
from .servers import POOR, outcome

STEPS = ("reserve", "answer", "extend", "settle", "release")


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[Heard]:
    """The real ledger on a server of its own."""
    async with EmbeddedServer(tmp_path / "data") as server:
        ledger = Heard(server.url)
        await ledger.connect()
        yield ledger
        await ledger.close()


async def test_a_step_runs_the_commands_it_ran(ledger: Heard) -> None:
    """The commands of each function are those of the baseline, and the bytes both ways within 10 %."""
    found, _ = await looked_at(ledger, "small")
    baseline = kept()["server"]
    assert tuple(found) == STEPS == tuple(name for name in STEPS if name in baseline)
    for name, cost in found.items():
        was = baseline[name]
        assert cost.commands == was["commands"], f"{name}: {REMEDY}"
        told = [
            strays(f"bytes of {name} to the server", cost.bytes_in, was["bytes_in"], WIDE_MARGIN),
            strays(f"bytes of {name} from the server", cost.bytes_out, was["bytes_out"], WIDE_MARGIN),
        ]
        assert not any(told), f"{told}; {REMEDY}"


@pytest.mark.parametrize(
    ("closed", "live"), [(750, 250), pytest.param(10_000, 1_000, marks=pytest.mark.full, id="many")]
)
async def test_a_step_does_not_grow_with_its_tenant(ledger: Heard, closed: int, live: int) -> None:
    """With many closed calls and many live ones each function runs the same commands, and tells no more bytes."""
    small, account = await looked_at(ledger, "tenant")
    await account.fill(closed, live)
    assert (await ledger.balance("tenant")).live_calls > live
    large = await costs(account)
    for name in STEPS:
        assert large[name].commands == small[name].commands, name
        assert large[name].bytes_in <= small[name].bytes_in * 1.02
        assert large[name].bytes_out <= small[name].bytes_out * 1.1


async def test_the_made_up_server_answers_as_the_real_one(ledger: Heard) -> None:
    """Functions of the server that the other parts of the guard count against answer in the words of the real ones."""
    await looked_at(ledger, "acme")
    told = dict(ledger.replies)
    poor = Account(ledger, POOR)
    await poor.open(0)
    await poor.reserve(poor.key())
    words = ["call", "1", "550000", "57", "0", "0", "0"]
    for name in STEPS:
        assert _form(outcome(name, "cg:{acme}:account", words)) == _form(told[name])
    assert _form(outcome("reserve", f"cg:{{{POOR}}}:account", words)) == _form(ledger.replies["reserve"])


def _form(reply: str) -> list[str]:
    return [re.sub(r"^\d+$", "N", word) for word in reply.split(" ")]
