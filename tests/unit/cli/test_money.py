"""What a billing clerk books, looks at and mistypes."""

import asyncio
import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from gateway import borrow
from gateway.adapters.redis.ledger import RedisLedger
from gateway.cli import app
from gateway.ports import CallKey, LedgerUnavailable
from gateway.settings import load
from rating import Ladder

CONFIG = Path(__file__).parents[3] / "config"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A copy of the shipped config, with books of its own, which wait for no disk."""
    folder = tmp_path / "config"
    shutil.copytree(CONFIG, folder)
    file = folder / "gateway.toml"
    file.write_text(file.read_text().replace("# sync = true", "sync = false"))
    return folder


def callgate(config: Path, *words: str) -> Result:
    return CliRunner().invoke(app, [*words, "--config", str(config)])


def done(config: Path, *words: str) -> str:
    """What a command says that must succeed, its spaces made one."""
    result = callgate(config, *words)
    assert result.exit_code == 0, result.output
    return " ".join(result.stdout.replace("│", " ").split())


def account(config: Path, tenant: str) -> dict[str, Any]:
    (facts,) = json.loads(callgate(config, "balance", tenant, "--json").stdout)
    return dict(facts)


def test_the_balance_says_what_expires_next(config: Path) -> None:
    """The soonest lot with free money, with its last day; the rule's twelve months come after it."""
    done(config, "topup", "acme", "25.00")
    done(config, "topup", "acme", "10.00", "--expires", "2199-12-31")
    assert "25.00 on 20" in done(config, "balance", "acme")
    done(config, "topup", "acme", "3.00", "--id", "soon", "--expires", _day_from_now())
    assert f"acme USD 38.00 0.00 38.00 0 3.00 on {_day_from_now()}" in done(config, "balance")
    lots = account(config, "acme")["lots"]
    assert [(lot["number"], lot["free_micros"]) for lot in lots] == [(3, 3_000_000), (1, 25_000_000), (2, 10_000_000)]


def _day_from_now() -> str:
    return str((datetime.now(UTC) + timedelta(days=40)).date())


def test_funds_that_never_expire_are_none_to_come(config: Path) -> None:
    """With credit_months = 0 there is no date, and JSON has null."""
    file = config / "tenants" / "acme.toml"
    file.write_text(file.read_text().replace('currency = "USD"', 'currency = "USD"\ncredit_months = 0', 1))
    done(config, "topup", "acme", "25.00")
    assert "acme USD 25.00 0.00 25.00 0 -" in done(config, "balance", "acme")
    assert [lot["expires_at_ms"] for lot in account(config, "acme")["lots"]] == [None]


def test_a_closed_account_is_seen_and_says_how_to_open_it(config: Path) -> None:
    """The balance has a column for it only where there is such a thing to say."""
    done(config, "topup", "acme", "5.00")
    assert "note" not in done(config, "balance")
    done(config, "close", "acme")
    assert "closed" in done(config, "balance")
    refused = callgate(config, "topup", "acme", "1.00", "--id", "one")
    assert (refused.exit_code, refused.stderr) == (
        1,
        "callgate: top-up one: The account is closed; run: callgate reopen acme\n",
    )
    done(config, "reopen", "acme")
    done(config, "topup", "acme", "1.00", "--id", "one")
    assert account(config, "acme")["is_closed"] is False


def test_a_chargeback_is_taken_once(config: Path) -> None:
    """The second time it says so, and the balance stays."""
    done(config, "topup", "acme", "5.00", "--id", "card-1")
    assert "taken back; balance 0.00 USD" in done(config, "reverse", "acme", "card-1")
    assert "was taken back before; balance 0.00 USD" in done(config, "reverse", "acme", "card-1")
    assert account(config, "acme")["adjustments_micros"] == -5_000_000


async def spend(config: Path, micros: int, *, is_over: bool) -> None:
    """A call of acme's that holds so much, and is charged all of it once it is over."""
    async with borrow.borrowed_ledger(load(config)) as ledger:
        key = CallKey("acme", "pbx1/1.1/n")
        await ledger.reserve(key, Ladder(0, ((60, micros),)), 60_000, "{}")
        await ledger.answer(key, "1.2", 1, 60_000)
        if is_over:
            await ledger.settle(key, 1, micros, 60, is_estimate=False)


def test_what_was_spent_of_a_payment_that_is_charged_back_is_debt(config: Path) -> None:
    """The balance shows it, and the next top-up pays it."""
    done(config, "topup", "acme", "5.00", "--id", "card-1")
    asyncio.run(spend(config, 2_000_000, is_over=True))
    assert "balance -2.00 USD" in done(config, "reverse", "acme", "card-1")
    assert "debt 2.00" in done(config, "balance", "acme")
    assert account(config, "acme")["debt_micros"] == 2_000_000
    done(config, "topup", "acme", "2.50")
    assert account(config, "acme")["debt_micros"] == 0


def test_an_account_whose_calls_are_live_is_not_closed(config: Path) -> None:
    """One sentence says what to wait for."""
    done(config, "topup", "acme", "5.00")
    asyncio.run(spend(config, 2_000_000, is_over=False))
    result = callgate(config, "close", "acme")
    assert result.exit_code == 1
    assert result.stderr == "callgate: Calls of this account are live; wait until they have ended.\n"


def test_a_reversal_in_doubt_may_be_run_again(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its answer was lost: it is not told as a server that nobody reached."""

    async def lost(*_: object) -> None:
        raise LedgerUnavailable("The answer was lost. The step may or may not have been carried out.")

    done(config, "topup", "acme", "5.00", "--id", "card-1")
    monkeypatch.setattr(RedisLedger, "reverse", lost)
    result = callgate(config, "reverse", "acme", "card-1")
    assert (result.exit_code, result.stderr) == (
        1,
        "callgate: top-up card-1: It may have been taken back. Run the same again: it is done once.\n",
    )


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["reverse", "acme", "nope"], "acme has no top-up of this id; write the id that `callgate topup` told."),
        (["reverse", "nobody", "one"], "There is no tenant 'nobody'; the config has: acme, globex."),
        (["close", "nobody"], "There is no tenant 'nobody'; the config has: acme, globex."),
        (["reopen", "nobody"], "There is no tenant 'nobody'; the config has: acme, globex."),
        (["topup", "acme", "1", "--expires", "tomorrow"], "'tomorrow' is no day; write one as 2027-12-31."),
        (
            ["topup", "acme", "1", "--expires", "2020-01-31"],
            "Funds whose last day is 2020-01-31 have expired already; write a later day.",
        ),
        (["topup", "acme", "1", "--id", "two words"], "use 1 to 200 printable characters, no space."),
        (["audit", "--journal", "/does/not/exist"], "/does/not/exist is no folder; name the one"),
        (["reconcile", "--cdr", "/does/not/exist.csv"], "/does/not/exist.csv is no file; name Asterisk's Master.csv."),
        (["reconcile", "--cdr", "/"], "/ is no file; name Asterisk's Master.csv."),
        (["reconcile", "--cdr", __file__, "--journal", __file__], "is no folder; name the one"),
    ],
)
def test_what_a_clerk_mistypes_is_one_sentence_that_says_what_to_do(
    config: Path, words: list[str], sentence: str
) -> None:
    """On standard error, with exit code 1; and nothing is booked."""
    result = callgate(config, *words)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("callgate: ")
    assert sentence in result.stderr
    assert result.stderr.count("\n") == 1
    assert account(config, "acme")["credits_micros"] == 0


def test_a_journal_folder_that_is_none_is_named(config: Path) -> None:
    """By its path and in words, not by a number of the system's."""
    file = config.parent / ".callgate" / "journal" / "acme"
    file.parent.mkdir(parents=True)
    file.touch()
    done(config, "balance", "acme")
    result = callgate(config, "audit", "acme")
    assert result.exit_code == 1
    assert result.stderr == f"callgate: Not a directory: {file}\n"
