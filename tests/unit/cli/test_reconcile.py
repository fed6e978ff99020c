"""``callgate reconcile``, as a billing clerk types it, on books of its own."""

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from gateway import borrow
from gateway.cli import app
from gateway.core.tenant import Tenant
from gateway.ports import CallKey
from gateway.service import memo
from gateway.service.accounts import open_account
from gateway.settings import Settings, load
from rating import ladder
from tests.unit.cdr.rows import ANSWER_SECONDS, row
from tests.unit.core import build

CONFIG = Path(__file__).parents[3] / "config"
SWITCH = '\n[[switch]]\nname = "{}"\nhost = "127.0.0.1"\nsecret = "change-me"\n'


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """The shipped config with acme alone, and books of its own."""
    folder = tmp_path / "config"
    for name in ("tenants", "tariffs", "plans"):
        shutil.copytree(CONFIG / name, folder / name)
    shutil.copy(CONFIG / "gateway.toml", folder)
    (folder / "tenants/globex.toml").unlink()
    return folder


@pytest.fixture
def master(tmp_path: Path) -> Path:
    """Where the CDRs are."""
    return tmp_path / "Master.csv"


async def _book(settings: Settings, uniqueid: str, seconds: int, *, is_estimate: bool) -> None:
    tenant: Tenant = settings.tenants["acme"]
    async with borrow.borrowed_ledger(settings) as ledger:
        await open_account(ledger, tenant)
        await ledger.top_up("acme", f"for-{uniqueid}", 10_000_000, "USD", "test")
        terms = build.call(build.rate(initial=1, increment=1)).terms
        key = CallKey("acme", f"pbx1/{uniqueid}/77")
        offer = ladder(terms.price.schedule(ANSWER_SECONDS * 1000), 0, 60)
        await ledger.reserve(key, offer, 60_000, memo.write(terms))
        await ledger.answer(key, "1.9", ANSWER_SECONDS * 1000 + 200, 60_000)
        await ledger.settle(key, 1, seconds * 10_000, seconds, is_estimate=is_estimate)


def book(config: Path, uniqueid: str = "1795389887.0", seconds: int = 60, *, is_estimate: bool = True) -> None:
    """A call of acme's at 0.01 a second."""
    asyncio.run(_book(load(config), uniqueid, seconds, is_estimate=is_estimate))


def callgate(config: Path, master: Path, *words: str) -> Result:
    return CliRunner().invoke(app, ["reconcile", "--cdr", str(master), *words, "--config", str(config)])


def found(config: Path, master: Path, *words: str) -> tuple[int, dict[str, Any]]:
    result = callgate(config, master, *words, "--json")
    return result.exit_code, dict(json.loads(result.stdout))


def test_an_estimate_is_told_then_corrected_then_known_to_be(config: Path, master: Path) -> None:
    """Dry first: 60 s were charged, the CDR has 42, a settle would have billed 43."""
    book(config)
    master.write_bytes(row(billsec=42))
    dry = callgate(config, master)
    assert dry.exit_code == 1
    assert dry.stdout.startswith("matched 0, missing 0, extra 0, differing 0, open 0, estimates to correct 1, ")
    told = " ".join(dry.stdout.split())
    for word in ("to correct", "acme", "pbx1/1795389887.0/77", "60 s", "42 s", "0.60 USD", "0.43 USD", "--apply"):
        assert word in told
    code, done = found(config, master, "--apply")
    assert (code, done["is_applied"], done["counts"]["estimates_corrected"]) == (0, True, 1)
    (finding,) = done["findings"]
    assert (finding["finding"], finding["due_seconds"], finding["due_micros"]) == ("corrected", 43, 430_000)
    code, again = found(config, master, "--apply")
    assert (code, again["counts"]["estimates_corrected"], again["counts"]["already_corrected"]) == (0, 0, 1)
    assert "already corrected" in callgate(config, master, "--apply").stdout


def test_all_agrees(config: Path, master: Path) -> None:
    """Exit code 0, and no line but the counts."""
    book(config, seconds=3, is_estimate=False)
    master.write_bytes(row(billsec=2))
    result = callgate(config, master)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.startswith("matched 1, missing 0, ")
    assert len(result.stdout.splitlines()) == 1


def test_the_span_is_given_in_the_machines_own_time_or_with_an_offset(config: Path, master: Path) -> None:
    """A call before it or at its end is not compared."""
    book(config)
    master.write_bytes(b"")
    assert found(config, master)[1]["counts"]["missing"] == 1
    for words in (
        ("--from", "2026-11-22T23:24:48+00:00"),
        ("--to", "2026-11-22T23:24:47+00:00"),
        ("--from", "2027-01-01"),
    ):
        assert found(config, master, *words)[0] == 0
    assert found(config, master, "--from", "2026-11-22T23:24:47Z", "--to", "2026-11-23")[1]["counts"]["missing"] == 1


def test_a_row_that_cannot_be_read_is_told_with_its_line_and_is_no_agreement(config: Path, master: Path) -> None:
    """On standard error for people, as a problem for programs; the rest is compared all the same."""
    book(config, seconds=3, is_estimate=False)
    master.write_bytes(b"torn\n" + row(billsec=2))
    result = callgate(config, master)
    assert result.exit_code == 1
    assert result.stderr == f"{master}:1: this is no row as cdr_csv writes it; it is left out.\n"
    code, facts = found(config, master)
    assert (code, facts["counts"]["matched"], len(facts["problems"])) == (1, 1, 1)
    master.write_bytes(b"torn\n" * 30 + row(billsec=2))
    assert callgate(config, master).stderr.endswith("and 10 rows more that could not be read\n")


def test_a_caller_cannot_paint_the_clerks_terminal(config: Path, master: Path) -> None:
    """What was dialled is shown escaped."""
    master.write_bytes(row(dst="\x1b[2J\n1", lastdata="PJSIP/x@trunk"))
    result = callgate(config, master, "--trunk", "PJSIP/trunk-")
    assert result.exit_code == 1
    assert "\\x1b[2J\\n1" in result.stdout
    assert "\x1b" not in result.stdout


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--tenant", "nobody"), "There is no tenant 'nobody'"),
        (("--switch", "pbx9"), "There is no switch 'pbx9'; the config has: pbx1."),
        (("--from", "yesterday"), "'yesterday' is no time; write one such as 2027-01-31T18:00"),
    ],
)
def test_what_was_mistyped_is_said_in_one_sentence(
    config: Path, master: Path, words: tuple[str, str], sentence: str
) -> None:
    """Before any book is opened."""
    master.write_bytes(row())
    result = callgate(config, master, *words)
    assert result.exit_code == 1
    assert sentence in result.stderr


def test_with_several_switches_one_must_be_named(config: Path, master: Path) -> None:
    """A CDR does not say whose it is."""
    with (config / "gateway.toml").open("a") as file:
        file.write(SWITCH.format("pbx2"))
    master.write_bytes(row())
    result = callgate(config, master)
    assert result.exit_code == 1
    assert "Say whose CDRs these are: --switch pbx1, pbx2." in result.stderr
    book(config)
    assert found(config, master, "--switch", "pbx2")[0] == 0


@pytest.mark.parametrize(("data", "word"), [(row(16), "loguniqueid=yes"), (b"a,b\n1,2\n", "Master.csv, unchanged")])
def test_a_file_that_cannot_be_compared_changes_nothing(config: Path, master: Path, data: bytes, word: str) -> None:
    """One sentence says what to do."""
    book(config)
    master.write_bytes(data)
    result = callgate(config, master, "--apply")
    assert (result.exit_code, result.stdout) == (1, "")
    assert word in result.stderr
    master.write_bytes(row(billsec=42))
    assert found(config, master)[1]["counts"]["estimates_to_correct"] == 1


def test_a_file_that_is_not_there_is_told(config: Path, tmp_path: Path) -> None:
    """With its name."""
    result = callgate(config, tmp_path / "none.csv")
    assert result.exit_code == 1
    assert "none.csv" in result.stderr
