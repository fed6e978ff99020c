"""Calls of the past as readers find them: Master.csv, callgate's log, the archive of its journal; and broken ones."""

import json
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.adapters.asterisk_cdr import CdrFileError
from gateway.adapters.past import Found, Whose, read_past_calls
from gateway.core.cdr import CallRecord, facts_of
from gateway.core.facts import Direction
from gateway.core.journal import Entry, to_line
from gateway.core.replay import Kind

from .rows import row

UTC = ZoneInfo("UTC")
ASKED_MS = 1_795_389_887_000  # 2026-11-22 23:24:47, as in rows.py
ACME = Whose("acme", "USD", frozenset({"globex"}), frozenset({"globex"}), frozenset({"+18005550100"}), zone=UTC)
RECORD = CallRecord(
    call_id="pbx1/1.1/7", switch="pbx1", tenant="acme", cli="12125550101", dialled="011442079460000",
    e164="+442079460000", call_class="international_fixed", outcome="settled", reason="", asked_at_ms=ASKED_MS,
    answered_at_ms=ASKED_MS + 5_000, ended_at_ms=ASKED_MS + 64_200, billsec=60, granted_seconds=60, extensions=0,
    charged_micros=600_000, balance_micros=0, currency="USD", prefix="44", leg="1.2", cause_q850=16, was_cut=False,
)  # fmt: skip


def read(folder: Path, *contents: bytes, whose: Whose = ACME, name: str = "calls") -> Found:
    files = []
    for number, content in enumerate(contents):
        files.append(folder / f"{name}{number}")
        files[-1].parent.mkdir(exist_ok=True, parents=True)
        files[-1].write_bytes(content)
    return read_past_calls(files, whose)


def closed(**changes: Any) -> bytes:
    facts = {"event": "call.closed", "timestamp": "2026-11-22T23:25:00Z", **facts_of(RECORD), **changes}
    return json.dumps(facts).encode() + b"\n"


def refused(**changes: Any) -> bytes:
    facts = {
        "event": "call.refused", "timestamp": "2026-11-22T23:24:47Z", "call": "pbx1/1.9/7", "tenant": "acme",
        "cli": "12125550101", "number": "011442079460000", "reason": "barred",
    }  # fmt: skip
    return json.dumps(facts | changes).encode() + b"\n"


# -------------------------------------------------------------------------------------------------- Master.csv


@pytest.mark.parametrize("columns", [16, 17, 18])
def test_a_master_csv_needs_neither_uniqueid_nor_userfield(tmp_path: Path, columns: int) -> None:
    """A call rings from its start to its answer, and is talked for its billsec."""
    line = row(columns, answer="2026-11-22 23:24:52", end="2026-11-22 23:25:52", duration=65, billsec=60)
    (call,) = read(tmp_path, line).calls
    assert (call.asked_at_ms, call.answered_at_ms, call.ended_at_ms) == (ASKED_MS, ASKED_MS + 5_000, ASKED_MS + 65_000)
    assert (call.number, call.cli, call.seconds, call.was) == ("011442079460000", "12125550101", 60, None)
    assert call.where.endswith("calls0:1")


def test_times_are_of_the_zone_that_is_named(tmp_path: Path) -> None:
    """A row does not say which."""
    berlin = Whose("acme", "USD", zone=ZoneInfo("Europe/Berlin"))
    assert read(tmp_path, row(), whose=berlin).calls[0].asked_at_ms == ASKED_MS - 3_600_000


def test_calls_come_in_the_order_of_their_asks(tmp_path: Path) -> None:
    """Master.csv is in that of their ends."""
    found = read(tmp_path, row(start="2026-11-22 23:30:00", answer="2026-11-22 23:30:00") + row())
    assert [call.where.rpartition(":")[2] for call in found.calls] == ["2", "1"]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"accountcode": "globex"}, "of other tenants"),
        ({"dst": "s"}, "of which dst is no number"),
        ({"dst": "=cmd()"}, "of which dst is no number"),
        ({"dstchannel": ""}, "that were answered, and dialled nobody"),
        ({"dstchannel": "PJSIP/desk-1"}, "that went to no trunk"),
        ({"channel": "PJSIP/trunk-0"}, "that came in on a trunk, to a number that the tenant does not own"),
    ],
)
def test_rows_that_are_no_calls_to_replay_are_counted_with_their_reason(
    tmp_path: Path, changes: dict[str, Any], why: str
) -> None:
    """None is lost in silence."""
    whose = Whose("acme", "USD", frozenset({"globex"}), trunks=("PJSIP/trunk-",), zone=UTC)
    found = read(tmp_path, row(**changes) + row(), whose=whose)
    assert (len(found.calls), dict(found.left_out)) == (1, {why: 1})


def test_a_call_to_an_owned_number_came_in(tmp_path: Path) -> None:
    """Also where nobody but a menu answered it."""
    found = read(tmp_path, row(dst="18005550100", dstchannel=""))
    assert found.calls[0].direction is Direction.INBOUND


def test_unanswered_rows_are_asks_too(tmp_path: Path) -> None:
    """They cost nothing, and count."""
    (call,) = read(tmp_path, row(answer="", billsec=0, disposition="NO ANSWER", duration=20)).calls
    assert (call.answered_at_ms, call.seconds, call.ended_at_ms) == (0, 0, ASKED_MS + 20_000)


@pytest.mark.parametrize(
    "broken",
    [
        b"not a row\n",
        row(start=""),
        row(start="2026-02-30 00:00:00"),
        row(start="0001-01-01 00:00:00"),
        row(billsec=9_999_999_999),
        b'"' + b"x" * 100_000 + b"\n",
    ],
)
def test_a_row_that_cannot_be_read_is_told_with_its_line_and_reading_goes_on(tmp_path: Path, broken: bytes) -> None:
    """The row after it is a call."""
    found = read(tmp_path, row() + broken + row())
    assert len(found.calls) == 2
    assert found.problem_count == 1
    assert found.problems[0].where.endswith("calls0:2")


def test_of_many_problems_the_first_are_kept_and_all_are_counted(tmp_path: Path) -> None:
    """Ten of them."""
    found = read(tmp_path, b"broken\n" * 25)
    assert (len(found.problems), found.problem_count) == (10, 25)


# -------------------------------------------------------------------------------------------------- callgate's log


def test_a_closed_call_says_what_became_of_it_and_what_it_cost(tmp_path: Path) -> None:
    """Other lines of the log are no calls."""
    found = read(tmp_path, b'{"event": "gateway.started"}\n' + closed() + closed(call="x/1.3/7", tenant="globex"))
    (call,) = found.calls
    assert call.was is not None
    assert (call.was.kind, call.was.charge_micros, call.seconds) == (Kind.CHARGED, 600_000, 60)
    assert dict(found.left_out) == {"of other tenants": 1}


def test_a_leg_that_was_up_before_it_was_asked_for_begins_with_the_ask(tmp_path: Path) -> None:
    """As its price did."""
    (call,) = read(tmp_path, closed(answered_at_ms=ASKED_MS - 3_000)).calls
    assert (call.answered_at_ms, call.ended_at_ms) == (ASKED_MS, ASKED_MS + 60_000)


def test_refused_and_released_calls_are_asks(tmp_path: Path) -> None:
    """By the ledger, and before it was asked."""
    lines = closed(outcome="refused", reason="spend_limit", limit="day", billsec=0, answered_at_ms=0)
    lines += refused() + closed(call="a/1.4/7", outcome="released", answered_at_ms=0, billsec=0)
    calls = read(tmp_path, lines).calls
    fates = [call.was for call in calls if call.was is not None]
    assert [(fate.kind, fate.reason, fate.limit) for fate in fates] == [
        (Kind.REFUSED, "spend_limit", "day"), (Kind.REFUSED, "barred", ""), (Kind.UNANSWERED, "", ""),
    ]  # fmt: skip
    assert {call.answered_at_ms for call in calls} == {0}


def test_a_call_that_two_gateways_tell_of_counts_once_as_charged(tmp_path: Path) -> None:
    """Whichever line came first."""
    released = closed(outcome="released", answered_at_ms=0, billsec=0)
    for content in (closed() + released, released + closed()):
        (call,) = read(tmp_path, content).calls
        assert call.was is not None
        assert call.was.kind is Kind.CHARGED


@pytest.mark.parametrize(
    ("line", "word"),
    [
        (closed(dialled="+44********23"), "masked"),
        (closed(currency="EUR"), "currency"),
        (closed(charged="much"), "charged"),
        (closed(billsec=-1), "billsec"),
        (closed(billsec=True), "billsec"),
        (closed(asked_at_ms=10**18), "times"),
        (closed(outcome="maybe"), "outcome"),
        (closed(cli="1" * 600), "cli"),
        (refused(timestamp="soon"), "timestamp"),
        (b"{not json\n", "JSON"),
        (b"[" * 15_000 + b"\n", "JSON"),
        (b'{"n": 0}\n', "neither"),
        (b'{"n": ' + b"9" * 9_000 + b"}\n", "JSON"),
    ],
)
def test_a_line_that_cannot_be_read_is_told_with_what_to_do(tmp_path: Path, line: bytes, word: str) -> None:
    """In one sentence; the other lines are read."""
    found = read(tmp_path, closed() + line)
    assert (len(found.calls), found.problem_count) == (1, 1)
    assert word in found.problems[0].sentence
    assert found.problems[0].sentence.endswith(".")


# ------------------------------------------------------------------------------------------------- the journal


NOTE = json.dumps({"number": "011442079460000", "cli": "12125550101", "at_ms": ASKED_MS})
JOURNAL = [
    Entry(1, "topup", call="t1"),
    Entry(2, "reserve", call="pbx1/1.1/7", note=NOTE, at_ms=ASKED_MS),
    Entry(3, "answer", call="pbx1/1.1/7", note="1.2", at_ms=ASKED_MS + 5_000),
    Entry(4, "reserve", call="pbx1/1.5/7", note=NOTE),
    Entry(5, "release", call="pbx1/1.5/7", at_ms=ASKED_MS + 9_000),
    Entry(6, "reserve", call="pbx1/1.6/7", note=NOTE),
    Entry(7, "settle", call="pbx1/0.9/7", total=5, note="1"),
    Entry(8, "settle", call="pbx1/1.1/7", total=600_000, note="60", at_ms=ASKED_MS + 65_000),
]


def lines(entries: list[Entry]) -> bytes:
    return "".join(to_line(entry) + "\n" for entry in entries).encode()


def test_the_archive_of_the_journal_has_calls_that_go_on_in_the_next_file(tmp_path: Path) -> None:
    """Charged and unanswered ones; those that are not over, or began before, are left out and counted."""
    found = read(tmp_path, lines(JOURNAL[:4]), lines(JOURNAL[4:]), name="acme/n")
    charged, unanswered = found.calls
    assert charged.was is not None
    assert (charged.was.charge_micros, charged.seconds, charged.answered_at_ms) == (600_000, 60, ASKED_MS + 5_000)
    assert (unanswered.seconds, unanswered.ended_at_ms) == (0, ASKED_MS + 9_000)
    assert sum(found.left_out.values()) == 2


def test_an_estimate_that_was_corrected_counts_as_corrected(tmp_path: Path) -> None:
    """Once."""
    more = [Entry(9, "correct", call="pbx1/1.1/7", total=300_000, note="30")]
    found = read(tmp_path, lines([*JOURNAL[:3], *JOURNAL[7:], *more]))
    assert [call.seconds for call in found.calls] == [30]


@pytest.mark.parametrize(
    ("contents", "name", "word"),
    [
        ((lines(JOURNAL),), "globex/n", "--tenant globex"),
        ((b'[{"n": 1}]',), "n", "array"),
        ((row(), closed()), "n", "one of the two"),
    ],
)
def test_files_that_are_not_meant_so_are_refused(
    tmp_path: Path, contents: tuple[bytes, ...], name: str, word: str
) -> None:
    """Another tenant's journal, an array of JSON, two kinds of records of the same calls."""
    with pytest.raises(CdrFileError, match=word):
        read(tmp_path, *contents, name=name)


@given(st.lists(st.binary(max_size=200) | st.sampled_from([row(), closed(), refused(), lines(JOURNAL)]), max_size=6))
@settings(max_examples=150, deadline=None)
def test_whatever_a_file_holds_is_a_call_a_problem_or_left_out(tmp_path_factory: Any, parts: list[bytes]) -> None:
    """No file makes a fault."""
    try:
        found = read(tmp_path_factory.mktemp("past"), b"\n".join(parts))
    except CdrFileError:
        return
    assert all(0 <= call.asked_at_ms <= max(call.ended_at_ms, call.answered_at_ms) for call in found.calls)
