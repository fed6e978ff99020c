"""A gateway that runs takes a changed config whole, or keeps the one that it has."""

import asyncio
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway import reload as reloading
from gateway.adapters.http.control import ask_gateway
from gateway.bootstrap import Gateway
from gateway.core.facts import Ask
from gateway.core.tenant import Tenant
from gateway.ports import Balance, Ledger, LedgerUnavailable
from gateway.settings import load
from tests.unit.settings.folder import TENANT, Folder

GATEWAY = """\
[redis]
url = "embedded"
data_dir = "data"
[ledger]
sync = false
queue_dir = "unsettled"
[journal]
archive = false
[http]
port = 0
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    """A config with the tenants acme and globex, and no switch."""
    found = Folder(tmp_path / "config", "acme", "globex")
    found.write("gateway.toml", GATEWAY)
    for name, value in found.environ.items():
        monkeypatch.setenv(name, value)
    return found


@pytest.fixture
async def gateway(folder: Folder) -> AsyncIterator[Gateway]:
    """It runs."""
    async with Gateway(load(folder.root)) as running:
        yield running


def payer(gateway: Gateway, tenant: str = "", accountcode: str = "") -> str:
    """Who would pay for an ask; nobody: empty."""
    found = gateway.directory.payer(Ask("pbx1", "1.1", "1", "1", tenant, accountcode, "", 0, "1.1"))
    return "" if found is None else found.tenant_id


def reloads(gateway: Gateway) -> dict[str, float]:
    text = gateway.watch.render()[0].decode()
    found = re.findall(r'^callgate_config_reloads_total\{result="(\w+)"\} (\S+)', text, re.MULTILINE)
    return {result: float(count) for result, count in found}


async def test_a_changed_config_is_in_force_as_a_whole(folder: Folder, gateway: Gateway) -> None:
    """Changed terms are in the ledger, a new tenant has an account and pays, one that left pays for nothing new."""
    folder.write("tenants/acme.toml", "credit_limit = 5\n" + TENANT.format(name="acme2"))
    folder.write("tenants/initech.toml", TENANT.format(name="initech"))
    (folder.root / "tenants/globex.toml").unlink()
    outcome = await gateway.reload()
    assert outcome.is_taken
    assert set(gateway.settings.tenants) == {"acme", "initech"}
    assert (await gateway.ledger.balance("acme")).credit_limit_micros == 5_000_000
    assert (await gateway.ledger.balance("initech")).currency == "USD"
    assert payer(gateway, accountcode="acme2") == "acme"
    assert payer(gateway, accountcode="acme") == ""
    assert payer(gateway, "initech") == "initech"
    assert payer(gateway, "globex") == ""
    assert gateway.directory.get("globex") is not None, "its live calls are reaped, delivered and archived all the same"
    assert reloads(gateway) == {"taken": 1, "refused": 0}


async def test_a_tenant_that_comes_back_pays_again(folder: Folder, gateway: Gateway) -> None:
    """By its new rules, and once."""
    text = (folder.root / "tenants/globex.toml").read_text()
    (folder.root / "tenants/globex.toml").unlink()
    await gateway.reload()
    folder.write("tenants/globex.toml", text + "[quota]\nquantum_seconds = 7\n")
    await gateway.reload()
    (globex,) = [tenant for tenant in gateway.directory if tenant.tenant_id == "globex"]
    assert (payer(gateway, "globex"), globex.quantum_seconds) == ("globex", 7)


async def test_a_broken_file_changes_nothing(folder: Folder, gateway: Gateway) -> None:
    """Not even what is right in the other files; each problem is told with its file and line, and counted."""
    before = gateway.settings
    folder.write("tenants/acme.toml", "credit_limit = 5\n" + TENANT.format(name="acme"))
    folder.write("tenants/globex.toml", TENANT.format(name="globex").replace("USD", "USX"))
    outcome = await gateway.reload()
    assert not outcome.is_taken
    assert len(outcome.problems) == 1
    assert "globex.toml:1: currency: " in outcome.problems[0]
    assert gateway.settings is before
    assert (await gateway.ledger.balance("acme")).credit_limit_micros == 0
    assert reloads(gateway) == {"taken": 0, "refused": 1}


async def test_what_the_ledger_refuses_changes_nothing(folder: Folder, gateway: Gateway) -> None:
    """An account cannot change its currency: the sentence says so, and the other tenants' terms are as before."""
    folder.write("tenants/acme.toml", "credit_limit = 5\n" + TENANT.format(name="acme"))
    folder.write("tenants/globex.toml", TENANT.format(name="globex").replace("USD", "EUR"))
    outcome = await gateway.reload()
    assert not outcome.is_taken
    assert "globex's account is in USD, not in EUR" in outcome.problems[0]
    assert (await gateway.ledger.balance("acme")).credit_limit_micros == 0
    assert gateway.settings.tenants["globex"].currency == "USD"
    assert gateway.directory.get("acme") == gateway.settings.tenants["acme"]


async def test_what_cannot_change_is_named_and_the_rest_is_taken(folder: Folder, gateway: Gateway) -> None:
    """A listen address needs a restart; the deadline of the same file is in force."""
    folder.write("gateway.toml", GATEWAY.replace("port = 0", "port = 9") + "[verdict]\ndeadline_ms = 1234\n")
    outcome = await gateway.reload()
    assert outcome.is_taken
    assert outcome.needs_restart == ("http.port",)
    assert gateway.settings.verdict_deadline_ms == 1234


async def test_a_preview_changes_nothing(folder: Folder, gateway: Gateway) -> None:
    """It tells the same changes as the reload after it, and neither ledger nor counters know of it."""
    folder.write("tenants/acme.toml", "credit_limit = 5\n" + TENANT.format(name="acme"))
    preview = await gateway.reloader.preview()
    assert [str(change) for change in preview.changes] == ["tenant acme: credit_limit: 0.00 -> 5.00"]
    assert (await gateway.ledger.balance("acme")).credit_limit_micros == 0
    assert reloads(gateway) == {"taken": 0, "refused": 0}
    assert await gateway.reload() == preview
    assert (await gateway.reload()).changes == ()


async def test_the_control_socket_is_for_its_owner_alone(folder: Folder, gateway: Gateway) -> None:
    """It stands in a folder of the gateway's own, asks are answered in JSON, and a stop removes it."""
    path = gateway.settings.control_socket
    assert path == folder.root / "unsettled/control.sock"
    assert path.stat().st_mode & 0o777 == 0o600
    assert (await ask_gateway(path, "diff"))["is_taken"] is True
    folder.write("tenants/acme.toml", "nonsense = 5\n" + TENANT.format(name="acme"))
    told = await ask_gateway(path, "reload")
    assert (told["is_taken"], len(told["problems"])) == (False, 1)
    await gateway.stop()
    assert not path.exists()


async def test_a_reload_goes_on_when_who_asked_for_it_is_gone(folder: Folder, gateway: Gateway) -> None:
    """A request of the API that took too long is cancelled: a token that left the config must not go on to work."""
    folder.write("tenants/acme.toml", "credit_limit = 5\n" + TENANT.format(name="acme"))
    asked = asyncio.ensure_future(gateway.reload())
    await asyncio.sleep(0)
    asked.cancel()
    while not reloads(gateway)["taken"]:
        await asyncio.sleep(0.01)
    assert gateway.settings is gateway.reloader.settings
    assert gateway.settings.tenants["acme"].credit_limit_micros == 5_000_000
    assert gateway.directory.get("acme") is gateway.settings.tenants["acme"]


async def test_who_asks_while_a_reload_waits_shares_it(gateway: Gateway) -> None:
    """A flood of asks is two reloads: the one under way, and one that sees what was written since."""
    outcomes = await asyncio.gather(*(gateway.reload() for _ in range(3)))
    assert reloads(gateway) == {"taken": 1, "refused": 0}
    asked = asyncio.ensure_future(gateway.reload())
    while not gateway.reloader.is_busy:
        await asyncio.sleep(0)
    outcomes += await asyncio.gather(asked, *(gateway.reload() for _ in range(20)))
    assert reloads(gateway) == {"taken": 3, "refused": 0}
    assert all(outcome.is_taken for outcome in outcomes)


async def test_previews_at_once_leave_the_interpreter_as_it_was(gateway: Gateway) -> None:
    """Its threads switch as often as before: what one of them found set was another's doing."""
    usual = sys.getswitchinterval()
    await asyncio.gather(gateway.reload(), *(gateway.reloader.preview() for _ in range(4)))
    assert sys.getswitchinterval() == usual


async def test_terms_that_the_ledger_may_have_are_told_it_again(
    folder: Folder, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It fell silent in the midst of a reload: when the file is as before again, so is the account."""
    opened = reloading.open_account

    async def open_and_lose(ledger: Ledger, tenant: Tenant) -> Balance:
        if tenant.credit_limit_micros:
            await opened(ledger, tenant)
        raise LedgerUnavailable("its answer was lost")

    before = (folder.root / "tenants/acme.toml").read_text()
    folder.write("tenants/acme.toml", "credit_limit = 5\n" + before)
    monkeypatch.setattr(reloading, "open_account", open_and_lose)
    assert not (await gateway.reload()).is_taken
    assert (await gateway.ledger.balance("acme")).credit_limit_micros == 5_000_000
    monkeypatch.undo()
    for name, value in folder.environ.items():
        monkeypatch.setenv(name, value)
    folder.write("tenants/acme.toml", before)
    assert (await gateway.reload()).is_taken
    assert (await gateway.ledger.balance("acme")).credit_limit_micros == 0
