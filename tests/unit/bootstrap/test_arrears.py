"""What an earlier gateway could not bring to the ledger, the next one does at its start."""

from pathlib import Path

import pytest

from gateway import bootstrap, borrow
from gateway.adapters.settle_queue import FileSettleQueue
from gateway.core.effects import RecordAnswer
from gateway.ports import CallKey, Unsettled
from gateway.service.accounts import open_account
from gateway.settings import load
from rating import Ladder
from tests.unit.service.house import Tally
from tests.unit.settings.folder import Folder

KEY = CallKey("acme", "pbx1/100.1/777")


@pytest.mark.parametrize("was_answer_heard", [True, False])
async def test_a_gateway_sends_what_waits_before_it_takes_calls_back(tmp_path: Path, was_answer_heard: bool) -> None:
    """Its call has ended: it is charged to the second, and nobody follows it."""
    folder = Folder(tmp_path / "config", "acme")
    folder.change("gateway.toml", "[[switch]]", "[http]\nport = 0\n[[switch]]\nport = 1")
    settings = load(folder.root, folder.environ)
    answer = RecordAnswer("100.2", 1_700_000_000_000, 90_000)
    async with borrow.borrowed_ledger(settings) as ledger:
        await open_account(ledger, settings.tenants["acme"])
        await ledger.top_up("acme", "one", 1_000_000, "USD", "test")
        await ledger.reserve(KEY, Ladder(0, ((60, 60_000),)), 90_000, "{}")
        if was_answer_heard:
            await ledger.answer(KEY, answer.leg, answer.answered_at_ms, answer.validity_ms)
    queue = FileSettleQueue(settings.ledger.queue_dir, Tally())
    queue.put(Unsettled(KEY, 1, 9_000, 9, 0, is_estimate=False, answer=None if was_answer_heard else answer))
    await queue.close()
    async with bootstrap.Gateway(settings) as gateway:
        (account,) = (await gateway.balances()).values()
        assert (account.charges_micros, account.held_micros) == (9_000, 0)
        assert all(len(board) == 0 for board in gateway.boards.values())
        assert KEY not in gateway.arrears
    assert list(settings.ledger.queue_dir.glob("*.json")) == []
