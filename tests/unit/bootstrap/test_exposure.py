"""What an earlier gateway lent while the ledger was away, the next one has booked at its start."""

from pathlib import Path

from gateway import bootstrap, borrow
from gateway.adapters.exposure_file import FILE_NAME, FileExposureStore
from gateway.core.effects import Register
from gateway.ports import CallKey, Lent
from gateway.service.accounts import open_account
from gateway.settings import Settings, load
from tests.unit.service.house import Tally, until
from tests.unit.settings.folder import Folder

KEY = CallKey("acme", "pbx1/100.1/777")


def settings_of(tmp_path: Path) -> Settings:
    folder = Folder(tmp_path / "config", "acme")
    folder.change("gateway.toml", "[[switch]]", "[http]\nport = 0\n[[switch]]\nport = 1")
    folder.change("tenants/acme.toml", "[recharge]", '[failure]\npolicy = "continue"\nexposure = 1\n[recharge]')
    return load(folder.root, folder.environ)


async def test_a_gateway_registers_what_was_lent_before_it_takes_calls_back(tmp_path: Path) -> None:
    """Past the limit: the account had nothing. The file is empty then."""
    settings = settings_of(tmp_path)
    async with borrow.borrowed_ledger(settings) as ledger:
        await open_account(ledger, settings.tenants["acme"])
    store = FileExposureStore(settings.ledger.queue_dir, Tally())
    await store.keep(Lent(KEY, Register(0, 60, 60_000, "100.2", 1_700_000_000_000, 90_000, None, 0), "{}"))
    async with bootstrap.Gateway(settings) as gateway:
        (account,) = (await gateway.balances()).values()
        assert (account.held_micros, account.debt_micros) == (60_000, 60_000)
    assert (settings.ledger.queue_dir / FILE_NAME).read_bytes() == b""


async def test_all_queues_and_the_exposure_are_in_the_metrics_from_the_start(tmp_path: Path) -> None:
    """A queue that nobody watches is found full by its callers."""
    async with bootstrap.Gateway(settings_of(tmp_path)) as gateway:
        text = gateway.watch.render()[0].decode()
    for queue in ("asks", "refusal_notes", "ami_actions", "facts"):
        assert f'callgate_queue_length{{queue="{queue}",switch="pbx1"}} 0.0' in text
    for queue in ("ledger_steps", "ledger_durable", "unsettled"):
        assert f'callgate_queue_length{{queue="{queue}",switch=""}}' in text
    assert 'callgate_exposure{currency="USD",tenant="acme"} 0.0' in text


async def test_balances_and_the_ledger_s_server_are_in_the_metrics_soon(tmp_path: Path) -> None:
    """Nobody has to call first."""
    async with bootstrap.Gateway(settings_of(tmp_path)) as gateway:
        text = gateway.watch.render()[0].decode()
        assert 'callgate_balance{currency="USD",tenant="acme"} 0.0' in text
        assert 'callgate_calls_by_state{state="answered",switch="pbx1"} 0.0' in text
        await until(lambda: b"callgate_ledger_append_ok 1.0" in gateway.watch.render()[0], 10)
        await until(lambda: b'callgate_seconds_to_zero{tenant="acme"} +Inf' in gateway.watch.render()[0], 10)
        text = gateway.watch.render()[0].decode()
    for line in ("callgate_ledger_up 1.0", "callgate_ledger_evicts 0.0", "callgate_tenants_at_zero 1.0"):
        assert line in text
