"""`callgate audit` as an admin meets it: a line a tenant, and exit code 1 for any fault."""

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from gateway.cli import app
from gateway.core.journal import Entry, to_line

CONFIG = Path(__file__).parents[3] / "config"


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the shipped config, with books of its own; acme has 25.00 in two top-ups."""
    folder = tmp_path_factory.mktemp("audit") / "config"
    for name in ("tenants", "tariffs"):
        shutil.copytree(CONFIG / name, folder / name)
    shutil.copy(CONFIG / "gateway.toml", folder)
    for topup in ("one", "two"):
        assert callgate(folder, "topup", "acme", "12.50", "--id", topup).exit_code == 0
    return folder


def callgate(config: Path, *words: str) -> Result:
    return CliRunner().invoke(app, [*words, "--config", str(config)])


def archive(folder: Path, *entries: Entry) -> Path:
    """An archive of acme's."""
    (folder / "acme").mkdir()
    (folder / "acme" / f"{entries[0].n:012}.jsonl").write_text("".join(to_line(entry) + "\n" for entry in entries))
    return folder


def test_books_that_hold_are_one_line_a_tenant(config: Path) -> None:
    """Also for a tenant that has no account yet; exit code 0."""
    result = callgate(config, "audit")
    assert result.exit_code == 0, result.output
    lines = [line.split() for line in result.output.splitlines() if "acme" in line or "globex" in line]
    words = [[word for word in line if word.isalnum() or "." in word] for line in lines]
    assert words == [
        ["acme", "3", "25.00", "USD", "0.00", "USD", "ok"],
        ["globex", "0", "0.00", "GBP", "0.00", "GBP", "ok"],
    ]


def test_programs_get_json(config: Path) -> None:
    """Numbers are whole micro-units."""
    (facts,) = json.loads(callgate(config, "audit", "acme", "--json").stdout)
    assert facts == {
        "tenant": "acme", "entries": 3, "first": 1, "last": 3, "balance_micros": 25_000_000, "held_micros": 0,
        "is_clean": True, "findings": [],
    }  # fmt: skip


def test_that_of_all_tenants_is_kept_for_the_gateway(config: Path) -> None:
    """That of some is not, nor one of another folder."""
    file = config.parent / ".callgate" / "audit.json"
    file.unlink(missing_ok=True)
    callgate(config, "audit", "acme")
    callgate(config, "audit", "--journal", str(config))
    assert not file.exists()
    told = callgate(config, "audit", "--json").stdout
    assert json.loads(file.read_text()) == json.loads(told)


def test_a_fault_is_named_and_is_exit_code_1(config: Path, tmp_path: Path) -> None:
    """The first entry that does not fit, in one sentence; for programs also its parts."""
    folder = archive(tmp_path, Entry(1, "open", "1-0", note="0  "), Entry(2, "topup", "2-0", "one", lot=1, credit=5))
    result = callgate(config, "audit", "--journal", str(folder))
    assert result.exit_code == 1
    assert "entry 2 (topup of one): the sum of its deltas should be 0, found 5" in result.output
    result = callgate(config, "audit", "acme", "--journal", str(folder), "--json")
    assert result.exit_code == 1
    (facts,) = json.loads(result.stdout)
    (finding,) = facts["findings"]
    assert (facts["is_clean"], finding["n"], finding["type"], finding["call"]) == (False, 2, "topup", "one")
    assert (finding["expected"], finding["found"]) == ("0", "5")


def test_a_journal_that_begins_late_says_so(config: Path, tmp_path: Path) -> None:
    """The older files are elsewhere: what is there is proven, and the account is held against it."""
    first = Entry(2, "topup", "2-0", "one", lot=1, source=-5, credit=5, balance=5)
    result = callgate(config, "audit", "--journal", str(archive(tmp_path, first)))
    assert result.exit_code == 1
    assert "from entry 2 on: the older ones are not here" in result.output


def test_a_tenant_that_is_not_there_is_told(config: Path) -> None:
    """As by every command."""
    result = callgate(config, "audit", "nobody")
    assert result.exit_code == 1
    assert "There is no tenant 'nobody'" in result.output
