"""The audit: a good journal is clean, and whatever is wrong is named at its first entry."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.audit import MAY_MOVE, audit
from gateway.core.journal import ACCOUNTS, Entry

from .journals import CALL, LOST, OTHER, POOL, Scribe, books_of, good

GOOD = good()
BOOKS = books_of(GOOD)


def only(entries: list[Entry], books: object = None) -> str:
    """The sentence of the only finding."""
    (finding,) = audit(entries, books).findings  # type: ignore[arg-type]
    return str(finding)


def where(kind: str, call: str = "", lot: int | None = None) -> int:
    """Which entry of the good journal is that."""
    (index,) = [
        i for i, e in enumerate(GOOD) if e.type == kind and e.call == call and (lot is None or e.lot == lot)
    ]  # fmt: skip
    return index


def test_a_good_journal_is_clean() -> None:
    """One of everything is proven, and the account that it makes."""
    verdict = audit(GOOD, BOOKS)
    assert verdict.findings == ()
    assert (verdict.first, verdict.last, verdict.entries) == (1, len(GOOD), len(GOOD))
    assert (verdict.balance, verdict.held) == (BOOKS.balance, BOOKS.held)
    assert {entry.type for entry in GOOD} == set(MAY_MOVE)


def test_no_journal_and_no_money_is_clean() -> None:
    """An account without entries has nothing to prove, and nothing in it."""
    assert audit([], books_of([])).findings == ()
    assert audit([]).entries == 0
    assert "number of its last entry should be 0, found 35" in str(audit([], BOOKS).findings[0])


@pytest.mark.parametrize("start", range(1, len(GOOD)))
def test_a_journal_whose_oldest_entries_are_elsewhere_goes_on_from_its_first(start: int) -> None:
    """Wherever it begins, the rest of a good journal is clean, against the account too."""
    verdict = audit(GOOD[start:], BOOKS)
    assert verdict.findings == ()
    assert (verdict.first, verdict.last) == (start + 1, len(GOOD))
    assert (verdict.balance, verdict.held) == (BOOKS.balance, BOOKS.held)


# ------------------------------------------------------------------------------------------------- corruptions

NUMBERS = [*ACCOUNTS, "balance", "held_after", "n"]


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("index", range(len(GOOD)))
def test_a_changed_number_is_found_at_its_entry(name: str, index: int) -> None:
    """A micro-unit more, in whatever column, is named at that entry (a first entry's n: at the next)."""
    entries = list(GOOD)
    entries[index] = replace(entries[index], **{name: getattr(entries[index], name) + 1})
    expected = 2 if (name, index) == ("n", 0) else entries[index].n
    (finding,) = audit(entries, BOOKS).findings
    assert finding.n == expected


@pytest.mark.parametrize("n", [0, -1])
def test_a_journal_begins_with_1_or_later(n: int) -> None:
    """A first entry before that is found, and not taken for none."""
    (finding,) = audit([replace(GOOD[0], n=n), *GOOD[1:]], BOOKS).findings
    assert (finding.what, finding.found) == ("n", str(n))


@given(st.data())
def test_any_single_changed_number_is_found(data: st.DataObject) -> None:
    """Whatever one number of whatever entry becomes, the audit is not clean."""
    index = data.draw(st.integers(0, len(GOOD) - 1))
    name = data.draw(st.sampled_from([*NUMBERS, "total", "included", "lot"]))
    before = getattr(GOOD[index], name)
    after = data.draw(
        st.integers(1 if name == "n" else -(2**53), 2**53) | st.integers(-5, 5).map(lambda d: (before or 0) + d)
    )
    if after == before or (name == "lot" and not any(GOOD[index].deltas)) or (name == "total" and before is None):
        return
    entries = list(GOOD)
    entries[index] = replace(entries[index], **{name: after})
    assert audit(entries, BOOKS).findings


@pytest.mark.parametrize("index", range(len(GOOD)))
def test_a_lost_a_doubled_and_a_swapped_entry_are_found_at_once(index: int) -> None:
    """Numbers have neither gaps nor repeats."""
    lost = audit(GOOD[:index] + GOOD[index + 1 :], BOOKS)
    doubled = audit([*GOOD[: index + 1], *GOOD[index:]], BOOKS)
    assert doubled.findings[0].n == index + 1
    if index == len(GOOD) - 1:
        assert lost.findings[0].what == "the number of its last entry"
    elif index:
        assert lost.findings[0].n == index + 2


def written(*wrong: Callable[[Scribe], None]) -> list[Entry]:
    """A short journal, then what is wrong with it; its sums are all right."""
    scribe = Scribe()
    scribe.write("open", note="500  ")
    scribe.write("topup", "t1", lot=1, source=-1000, credit=1000)
    scribe.write("reserve", CALL, 0, lot=1, credit=-300, held=300)
    scribe.write("answer", CALL, 0)
    for write in wrong:
        write(scribe)
    return scribe.entries


def entry(
    kind: str, call: str = "", step: int | None = None, lot: int | None = None, **more: object
) -> Callable[[Scribe], None]:
    """Write that."""
    return lambda scribe: scribe.write(kind, call, step, lot, **more)


TWICE = [entry("correct", CALL, 2, lot=1, adjustment=-50, credit=50, total=50), entry("correct", CALL, 3, total=50)]
SETTLED = entry("settle", CALL, 1, lot=1, held=-300, revenue=100, credit=200, total=100)
ESTIMATED = entry("estimate", CALL, 1, lot=1, held=-300, revenue=100, credit=200, total=100)


RELEASED = entry("release", CALL, 0, lot=1, held=-300, credit=300)


def test_a_settle_may_follow_a_release() -> None:
    """Somebody heard the answer after all: the call is charged by an adjustment, once."""
    late = entry("correct", CALL, 1, lot=1, credit=-100, adjustment=100, total=100)
    short = Scribe()
    for write in (entry("open", note="500  "), entry("topup", "t1", lot=1, source=-1000, credit=1000),
                  entry("reserve", CALL, 0, lot=1, credit=-300, held=300), RELEASED, late):  # fmt: skip
        write(short)
    assert audit(short.entries).findings == ()
    entry("correct", CALL, 2, lot=1, credit=-100, adjustment=100, total=200)(short)
    assert "its call should be estimated or released, found closed" in only(short.entries)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ([SETTLED, entry("settle", CALL, 2, total=100)],
         f"entry 6 (settle of {CALL}): its call should be live, found closed"),
        ([SETTLED, SETTLED], f"entry 6 (settle of {CALL}): its call should be live, found closed"),
        ([SETTLED, entry("reserve", CALL, 0, lot=1, credit=-1, held=1)], "its call should be new, found closed"),
        ([entry("reserve", CALL, 0)], "its call should be new, found live"),
        ([entry("settle", OTHER, 1, total=0)], "its call should be live, found new"),
        ([SETTLED, entry("correct", CALL, 2, total=100)], "its call should be estimated or released, found closed"),
        ([ESTIMATED, entry("settle", CALL, 2, total=100)], "its call should be live, found estimated"),
        ([ESTIMATED, *TWICE], "entry 7"),
        ([ESTIMATED, entry("correct", CALL, 2, lot=1, adjustment=-50, credit=50, total=51)],
         "entry 6 (correct of pbx/1.1/a): total should be 50, found 51"),
        ([entry("settle", CALL, 1, lot=1, held=-300, revenue=100, credit=200, total=99)],
         "entry 5 (settle of pbx/1.1/a): total should be 100, found 99"),
        ([entry("settle", CALL, 1, lot=1, held=-300, revenue=100, credit=200)], "total should be 100, found none"),
        ([entry("settle", CALL, 1, lot=1, held=-200, revenue=100, credit=100, total=100)],
         "what the closed call holds should be 0, found 100"),
        ([entry("release", CALL, 0, lot=1, held=-200, credit=200)],
         "what the closed call holds should be 0, found 100"),
        ([entry("release", CALL, 0, lot=1, held=-300, revenue=300)], "revenue should be 0, found 300"),
        ([entry("extend", CALL, 1), entry("extend", CALL, 1)], "its step should be above 1, found 1"),
        ([entry("reserve", OTHER, 0, lot=2, credit=-1, held=1)], "its lot should be one with money, or 2, found 2"),
        ([entry("topup", "t2", lot=2, source=-9, credit=9), entry("extend", CALL, 1, lot=2, held=-1, revenue=1)],
         "what the call holds of lot 2 should be 0 or more, found -1"),
        ([entry("reserve", OTHER, 0, lot=1, credit=-701, held=701)],
         "what is free of lot 1 should be 0 or more, found -1"),
        ([entry("reserve", OTHER, 0, lot=0, debt=-501, held=501)],
         "what the credit limit bears should be 500 or less, found 501"),
        ([entry("terms", note="10  "), entry("reserve", OTHER, 0, lot=0, debt=-11, held=11)],
         "what the credit limit bears should be 10 or less, found 11"),
        ([entry("register", OTHER, 4, lot=0, debt=-900, held=900),
          entry("reserve", LOST, 0, lot=1, credit=-700, held=700)],
         "what is available after a grant should be 0 or more, found -400"),
        ([entry("settle", CALL, 1, lot=0, held=-300, revenue=400, debt=-100, total=400)],
         "debt should be 0 or more, found -100"),
        ([entry("topup", "t2", lot=0, source=-1, debt=1)], "debt should be 0, found 1"),
        ([entry("topup", "t1", lot=2, source=-1000, credit=1000)], "its id should be booked once, found booked before"),
        ([entry("topup", "t2", lot=1, source=-1000, credit=1000)], "its lot should be 2, found 1"),
        ([entry("topup", "t2", lot=3, source=-1000, credit=1000)], "its lot should be one with money, or 2, found 3"),
        ([entry("reverse", "t2", lot=1, credit=-5, adjustment=5)],
         "its top-up should be booked, and not reversed, found never booked"),
        ([entry("reverse", "t1"), entry("reverse", "t1", lot=1, credit=-5, adjustment=5)], "found reversed before"),
        ([entry("pay", lot=1, credit=-5, debt=5)], "what is owed should be 0 or more, found -5"),
        ([entry("expire", lot=1, credit=5, expired=-5)], "credit should be 0 or less, found 5"),
        ([entry("reserve", OTHER, 0, credit=-5, held=5)], "its lot should be named, since money moves, found none"),
        ([entry("reserve", OTHER, 0, lot=0, credit=-5, held=5)],
         "credit and expired of lot 0, the credit limit should be 0, found -5"),
        ([entry("doubt", CALL, 0, pool=POOL, included=-1)],
         "the call's included seconds should be 0 or more, found -1"),
        ([entry("close", pool=POOL, included=-1)], f"seconds taken of {POOL} should be 0 or more, found -1"),
        ([entry("extend", CALL, 1, included=5)], "its pool should be named, since included time moves, found none"),
        ([entry("release", OTHER, 0, pool=POOL, included=5)], "what a released call took should be 0, found 5"),
        ([entry("terms", note="much")], "the credit limit in its note should be a whole number, found 'much'"),
        ([entry("reverse", "t1", lot=0, debt=-5, adjustment=5)],
         "entry 5 (reverse of t1): what is owed while lots have money should be 0, found 5"),
        ([entry("gift", lot=1, source=-5, credit=5)], "its type should be one that this version knows, found gift"),
        ([entry("extend", CALL, 1, lot=1, held=-301, revenue=301)], "what is held should be 0 or more, found -1"),
    ],
)  # fmt: skip
def test_what_a_type_may_not_do_is_named(wrong: list[Callable[[Scribe], None]], sentence: str) -> None:
    """Sums that are right are not enough: each rule of the audit is broken once, and said in one sentence."""
    found = only(written(*wrong, entry("close")))
    assert sentence in found
    assert "\n" not in found


# ------------------------------------------------------------------------------------------- the stored account


@pytest.mark.parametrize("name", ["balance", "held", "credits", "charges", "adjustments", "expired", "entries", "owed"])
def test_an_account_that_differs_is_a_finding(name: str) -> None:
    """Each figure of the account is held against the journal."""
    findings = audit(GOOD, replace(BOOKS, **{name: getattr(BOOKS, name) + 1})).findings
    assert findings
    assert all(finding.n == 0 for finding in findings)


@pytest.mark.parametrize(
    "change",
    [
        {"held_by_call": {}},
        {"held_by_call": {"live": 91}},
        {"held_by_call": {"live": 90, "ghost": 0}},
        {"lots": {5: (660, 90), 6: (1, 0)}},
        {"lots": {5: (659, 91)}},
        {"lots": {}},
        {"pools": {}},
        {"pools": {POOL: 31}},
        {"pools": {POOL: 30, "other|2027-01": 1}},
    ],
)
def test_a_call_a_lot_or_a_pool_that_differs_is_a_finding(change: dict[str, object]) -> None:
    """What the ledger holds call by call, lot by lot and pool by pool is what the journal says."""
    assert audit(GOOD, BOOKS).findings == ()
    (finding,) = audit(GOOD, replace(BOOKS, **change)).findings  # type: ignore[arg-type]
    assert finding.n == 0


def test_a_call_that_moved_while_it_was_read_is_not_compared() -> None:
    """On a live system a call's books may be newer than the account's: it is left out."""
    moved = replace(BOOKS, held_by_call={"live": 1, "new": 5}, moving=frozenset({"live", "new", "gone"}))
    assert audit(GOOD, moved).findings == ()


def test_a_debt_that_was_never_paid_is_a_finding_also_at_the_end() -> None:
    """The last step's debt is paid by that step, or never."""
    entries = written(entry("reverse", "t1", lot=0, debt=-5, adjustment=5))
    (finding,) = audit(entries, books_of(entries)).findings
    assert str(finding) == "the account: what is owed while lots have money should be 0, found 5"


def test_without_lots_and_pools_the_rest_is_compared() -> None:
    """They are left out where nobody read them."""
    assert audit(GOOD, replace(BOOKS, lots=None, pools=None, owed=None)).findings == ()
