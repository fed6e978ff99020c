"""``callgate replay``, as a billing clerk types it."""

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from gateway.cli import app
from gateway.cli.replay_csv import as_cell
from tests.unit.cdr.rows import row
from tests.unit.cdr.test_past import closed, refused

CONFIG = Path(__file__).parents[3] / "config"
HEAD = "prefix,destination,connect_fee,rate_per_minute,initial_increment,increment\n"
PLAN = 'currency = "USD"\n'


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """The shipped config with acme alone, in which the United Kingdom costs 0.60 a minute."""
    folder = tmp_path / "config"
    for name in ("tenants", "tariffs", "plans", "lists"):
        shutil.copytree(CONFIG / name, folder / name)
    shutil.copy(CONFIG / "gateway.toml", folder)
    (folder / "tenants/globex.toml").unlink()
    (folder / "tariffs/default.csv").write_text(HEAD + "44,United Kingdom,0,0.60,60,60\n")
    (folder / "tariffs/dearer.csv").write_text(HEAD + "44,United Kingdom,0,0.90,60,60\n")
    return folder


@pytest.fixture
def master(tmp_path: Path) -> Path:
    """Three calls to the United Kingdom, a minute each, the last two at once; and one of the tenant's own phones."""
    file = tmp_path / "Master.csv"
    minute = {"duration": 60, "billsec": 60}
    later = {"start": "2026-11-22 23:40:00", "answer": "2026-11-22 23:40:00", "end": "2026-11-22 23:41:00"}
    file.write_bytes(row(**minute) + 2 * row(**minute, **later) + row(dst="2001", src="=1+1", **minute))
    return file


def callgate(config: Path, *words: str | Path) -> Result:
    return CliRunner().invoke(app, ["replay", *map(str, words), "--tenant", "acme", "--config", str(config)])


def facts(config: Path, *words: str | Path) -> dict[str, Any]:
    result = callgate(config, *words, "--json")
    assert result.exit_code == 0, result.output
    return dict(json.loads(result.stdout))


def told(result: Result) -> str:
    return " ".join(result.output.split())


def test_a_new_tariff_is_compared_with_todays(config: Path, master: Path) -> None:
    """The headline, the groups, the difference; a path or a name, with its ending or without."""
    result = callgate(config, master, "--tariff", "dearer")
    assert result.exit_code == 0
    for word in ("4 calls of acme", "1.80 USD -> 2.70 USD, +0.90 USD (+50.0 %)", "international_fixed", "internal"):
        assert word in told(result)
    assert facts(config, master, "--tariff", config / "tariffs/dearer.csv")["total"]["now_micros"] == 2_700_000


def test_without_a_change_calls_have_one_cost(config: Path, master: Path) -> None:
    """Nothing is compared."""
    result = callgate(config, master)
    assert "1.80 USD" in result.stdout
    assert "would be" not in result.stdout


def test_callgates_own_records_are_compared_with_what_they_charged(config: Path, tmp_path: Path) -> None:
    """Also where nothing changes but what the config says by now."""
    log = tmp_path / "callgate.log"
    log.write_bytes(closed(charged="0.45") + refused())
    found = facts(config, log)
    assert (found["total"]["was_micros"], found["total"]["now_micros"], found["allowed"]) == (450_000, 600_000, 1)
    assert found["reasons"] == [{"reason": "barred", "is_cut": False, "limit": "", "was": 1, "now": 0, "example": ""}]


@pytest.mark.parametrize(
    ("limits", "reason", "micros"),
    [
        ('[[limit]]\nname = "one"\nconcurrent_calls = 1\n', "concurrent_calls", 1_200_000),
        ('barred_classes = ["international_fixed"]\n', "barred", 0),
        ('[[limit]]\nname = "day"\nspend_per_day = 0.60\n', "spend_limit", 600_000),
    ],
)
def test_new_limits_refuse_what_they_would_have_refused(
    config: Path, master: Path, tmp_path: Path, limits: str, reason: str, micros: int
) -> None:
    """Of a plan's file anywhere."""
    plan = tmp_path / "new.toml"
    plan.write_text(PLAN + limits)
    found = facts(config, master, "--limits", plan)
    assert found["total"]["now_micros"] == micros
    assert [count["reason"] for count in found["reasons"]] == [reason]


def test_limits_of_a_tenants_file_and_of_a_plan_by_name(config: Path, master: Path) -> None:
    """A tenant's file has its plan beneath."""
    text = (config / "tenants/acme.toml").read_text()
    (config / "tenants/strict.toml").write_text('barred_prefixes = ["44"]\n' + text.replace('["acme"]', '["strict"]'))
    assert facts(config, master, "--limits", "strict")["reasons"][0]["reason"] == "barred_prefix"
    assert facts(config, master, "--limits", "guarded.toml")["total"]["now_refused"] == 0


def test_a_balance_runs_dry_and_what_is_left_is_told(config: Path, master: Path) -> None:
    """With the first call that it does not reach for."""
    result = callgate(config, master, "--balance", "1.30")
    assert "of 1.30 USD, 0.10 USD would be left; it would run dry with the call of 2026-11-22" in told(result)


def test_each_call_is_a_line_of_csv_and_no_cell_a_formula(config: Path, master: Path, tmp_path: Path) -> None:
    """A file that is there already is not written over."""
    out = tmp_path / "out.csv"
    assert callgate(config, master, "--csv", out, "--tariff", "dearer").exit_code == 0
    rows = list(csv.DictReader(out.open(newline="")))
    assert [line["difference"] for line in rows] == ["0.30", "0.00", "0.30", "0.30"]
    assert {line["caller"] for line in rows} == {"12125550101", "'=1+1"}
    again = callgate(config, master, "--csv", out)
    assert (again.exit_code, "is there already" in again.output) == (1, True)


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("=1+1", "'=1+1"), ("+1+cmd|x", "'+1+cmd|x"), ("-2+3", "'-2+3"), ("@SUM(A1)", "'@SUM(A1)"), ("\t=1", "'\t=1"),
        ("+442079460000", "+442079460000"), ("-0.30", "-0.30"), ("a\0b", "ab"), ("", ""),
    ],
)  # fmt: skip
def test_a_cell_that_a_spreadsheet_would_run_is_made_text(text: str, cell: str) -> None:
    """Numbers and amounts stay what they are."""
    assert as_cell(text) == cell


def test_broken_rows_are_told_and_the_exit_code_says_so(config: Path, master: Path) -> None:
    """The first ten, and how many more; all else is replayed."""
    master.write_bytes(b"broken\n" * 12 + master.read_bytes())
    result = callgate(config, master)
    assert result.exit_code == 1
    assert "4 calls of acme" in result.stdout
    assert result.output.count("this is no row as cdr_csv writes it") == 10
    assert "and 2 more" in result.output


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--tariff", "none.csv"), "there is no such file"),
        (("--limits", "none.toml"), "there is no such file"),
        (("--tariff", "sterling.csv"), "is in GBP"),
        (("--balance", "much"), "plain decimal number"),
        (("--cdr-zone", "Mars/Olympus"), "is no time zone"),
        (("--trunk", "DAHDI/"), "there is no call of acme to replay; left out: calls that went to no trunk (4)"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(config: Path, master: Path, words: tuple[str, str], sentence: str) -> None:
    """And exit code 1."""
    result = callgate(config, master, *words)
    assert result.exit_code == 1
    assert sentence in told(result)


def test_limits_that_are_wrong_are_told_with_file_and_line(config: Path, master: Path, tmp_path: Path) -> None:
    """As check would."""
    plan = tmp_path / "new.toml"
    plan.write_text(PLAN + "[[limit]]\nname = 'x'\nconcurrent_calls = -1\n")
    result = callgate(config, master, "--limits", plan)
    assert result.exit_code == 1
    assert "new.toml:4" in result.output


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "there is no call in it; name Asterisk's Master.csv"),
        (b"\n\r\n", "there is no call in it"),
        (b"\x1f\x8b\x08\x00\x00\x00", "is no text in UTF-8; unpack it"),
        (row().decode().encode("utf-16"), "is no text in UTF-8; unpack it where it is compressed, else save it"),
        (
            b'"a","b","c"\n' * 99,
            "99 that could not be read, first {file}:1: this is no row as cdr_csv writes it; take it",
        ),
        (b"number;seconds\n4420;5\n", "2 that could not be read, first {file}:1: this is no row as cdr_csv"),
        (row(duration=9_999_999_999, billsec=9_999_999_999), "first {file}:1: its times are none that a call can have"),
        (row(billsec="9" * 400), "first {file}:1: this is no row as cdr_csv writes it"),
        (closed(asked_at_ms=10**300), "first {file}:1: its times are none that a call can have"),
        (b'{"event": "call.closed", "x": ' + b"9" * 5000 + b"}\n", "first {file}:1: this is no line of JSON"),
    ],
)
def test_a_file_without_a_call_is_one_sentence(config: Path, tmp_path: Path, content: bytes, sentence: str) -> None:
    """However many rows it has: what it is, and what to give instead."""
    file = tmp_path / "x.csv"
    file.write_bytes(content)
    result = callgate(config, file)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("callgate: ")
    assert result.stderr.count("\n") == 1
    assert sentence.format(file=file) in result.stderr


def test_an_editors_mark_and_line_ends_lose_no_row(config: Path, master: Path, tmp_path: Path) -> None:
    """Of Windows; in a Master.csv and in a log."""
    mark = b"\xef\xbb\xbf"
    master.write_bytes(mark + master.read_bytes().replace(b"\n", b"\r\n"))
    assert facts(config, master)["total"]["calls"] == 4
    log = tmp_path / "callgate.log"
    log.write_bytes(mark + closed())
    assert facts(config, log)["total"]["calls"] == 1


def test_what_is_no_file_is_told(config: Path, tmp_path: Path) -> None:
    """A folder; a pipe, which cannot be looked at first; a device without an end."""
    os.mkfifo(tmp_path / "pipe")
    for place in (tmp_path, tmp_path / "pipe", Path("/dev/zero")):
        result = callgate(config, place)
        assert (result.exit_code, f"{place} is no file; name files" in told(result)) == (1, True)


def test_a_file_that_is_not_there_is_named(config: Path, tmp_path: Path) -> None:
    """Not a traceback."""
    result = callgate(config, tmp_path / "none.csv")
    assert (result.exit_code, "none.csv cannot be read" in told(result)) == (1, True)


def test_a_tariff_of_the_same_name_takes_its_place_also_behind_another(
    config: Path, master: Path, tmp_path: Path
) -> None:
    """A prefix that the new one lacks is not priced by the old one."""
    new = tmp_path / "default.csv"
    new.write_text(HEAD + "49,Germany,0,0.60,60,60\n")
    assert facts(config, master, "--tariff", new)["reasons"][0]["reason"] == "no_rate"


def test_there_is_a_progress_bar_on_a_terminal_and_nowhere_else(config: Path, master: Path) -> None:
    """On standard error: what is printed is the same."""
    words = ("replay", str(master), "--tenant", "acme", "--config", str(config), "--json")
    terminal, of_command = os.openpty()
    command = (sys.executable, "-m", "gateway.cli", *words)
    environ = {**os.environ, "TERM": "xterm"}
    shown = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=of_command, env=environ)
    os.close(of_command)
    seen = os.read(terminal, 65_536)
    os.close(terminal)
    assert b"replaying" in seen
    quiet = callgate(config, master, "--json")
    assert (quiet.stderr, quiet.stdout) == ("", shown.stdout.decode())
