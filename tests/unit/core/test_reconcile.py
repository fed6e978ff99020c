"""callgate's calls against CDRs: what belongs together, and what does not agree."""

from dataclasses import replace
from itertools import permutations

import pytest

from gateway.core.journal import Entry
from gateway.core.reconcile import (
    Booked,
    BookedCall,
    Cdr,
    Finding,
    Kind,
    Reconciliation,
    Scope,
    counts,
    due_seconds,
    made_at_ms,
    talked_seconds,
)

ANSWERED_AT_S = 1_795_389_887
SCOPE = Scope("pbx1")
TRUNK_SCOPE = Scope("pbx1", trunks=("PJSIP/trunk-",))
CALL = "pbx1/1795389880.5/77"


def entries(
    call: str = CALL, *, seconds: int = 10, kind: str = "settle", answered_at_s: int = ANSWERED_AT_S
) -> list[Entry]:
    """A call's life in the journal: held 0.60 in two steps, over two lots, then closed at 0.01 a second."""
    life = [
        Entry(1, "reserve", call=call, step=0, lot=1, held=200_000),
        Entry(2, "reserve", call=call, step=0, lot=2, held=100_000),
        Entry(3, "answer", call=call, step=0, note="1795389880.6", at_ms=answered_at_s * 1000 + 310),
        Entry(4, "extend", call=call, step=1, lot=2, held=200_000, revenue=100_000),
    ]
    if kind == "release":
        return [*life[:2], Entry(5, "release", call=call, step=0, lot=1, held=-300_000)]
    if kind == "open":
        return life
    closing = [
        Entry(5, kind, call=call, step=2, lot=1, held=-9, revenue=9, total=seconds * 10_000, note=str(seconds)),
        Entry(6, kind, call=call, step=2, lot=2, held=-9, revenue=9),
    ]
    if kind == "correct":
        closing.insert(0, Entry(4, "estimate", call=call, step=2, lot=1, total=600_000, note="60"))
    return [*life, *closing]


def cdr(uniqueid: str = "1795389880.5", billsec: int = 10, **changes: object) -> Cdr:
    facts: dict[str, object] = {
        "where": "Master.csv:1",
        "uniqueid": uniqueid,
        "accountcode": "acme",
        "dst": "011442079460000",
        "dstchannel": "PJSIP/trunk-2",
        "lastdata": "PJSIP/442079460000@trunk,60,iL(10000)",
        "is_answered": True,
        "answer_seconds": ANSWERED_AT_S,
        "billsec": billsec,
    }
    return Cdr(**(facts | changes))  # type: ignore[arg-type]


def compared(journal: list[Entry], cdrs: list[Cdr], scope: Scope = SCOPE, **of_tenant: object) -> list[Finding]:
    books = Reconciliation(scope, **of_tenant)  # type: ignore[arg-type]
    for entry in journal:
        books.book("acme", entry)
    for each in cdrs:
        books.record(each)
    return list(books.findings())


def kinds(journal: list[Entry], cdrs: list[Cdr], scope: Scope = SCOPE, **of_tenant: object) -> list[Kind]:
    return [finding.kind for finding in compared(journal, cdrs, scope, **of_tenant)]


@pytest.mark.parametrize(
    ("billsec", "kind"),
    [(7, Kind.DIFFERING), (8, Kind.MATCHED), (9, Kind.MATCHED), (11, Kind.MATCHED), (12, Kind.DIFFERING)],
)
def test_callgates_seconds_may_be_two_more_or_one_less(billsec: int, kind: Kind) -> None:
    """A leg of 9.001 s is 10 seconds here; a CDR that began 2 ms after it is cut off to 8."""
    assert kinds(entries(seconds=10), [cdr(billsec=billsec)]) == [kind]


def test_a_charged_call_without_a_cdr_is_missing() -> None:
    """Also an estimate."""
    assert kinds(entries(), []) == [Kind.MISSING]
    assert kinds(entries(kind="estimate"), [cdr("1.1")]) == [Kind.MISSING]


def test_a_call_that_nobody_answered_by_its_cdr_is_differing() -> None:
    """It was charged all the same; and an estimate of it is not corrected to nothing by itself."""
    busy = cdr(is_answered=False, answer_seconds=0, billsec=0)
    for kind in ("settle", "estimate"):
        (finding,) = compared(entries(kind=kind), [busy])
        assert finding.kind is Kind.DIFFERING
        assert finding.cdr_seconds == 0


def test_an_estimate_with_one_cdr_can_be_corrected() -> None:
    """All that was granted, over all steps and lots, is the most that it can cost."""
    (finding,) = compared(entries(kind="estimate", seconds=60), [cdr(billsec=42)])
    assert finding.kind is Kind.ESTIMATE
    assert finding.call is not None
    assert (finding.call.granted_micros, finding.call.charged_micros) == (600_000, 600_000)
    assert finding.cdr_seconds == 42


def test_an_estimate_with_two_cdrs_is_told_and_not_guessed() -> None:
    """No sum of money rests on which of them is its own."""
    two = [cdr(billsec=42), cdr(billsec=7, answer_seconds=ANSWERED_AT_S + 60)]
    assert kinds(entries(kind="estimate", seconds=60), two) == [Kind.DIFFERING, Kind.EXTRA]


def test_a_corrected_call_that_agrees_is_told_as_such() -> None:
    """Whoever applies a second time is told why nothing happens."""
    assert kinds(entries(kind="correct", seconds=43), [cdr(billsec=42)]) == [Kind.CORRECTED]
    assert kinds(entries(kind="correct", seconds=60), [cdr(billsec=42)]) == [Kind.DIFFERING]


def test_calls_of_one_channel_are_paired_by_the_order_of_their_answers() -> None:
    """Three dials of one channel, in any order of the files, are three calls with their own CDRs."""
    calls = [(f"pbx1/1795389880.5/{n}", 10 + 20 * n, ANSWERED_AT_S + 100 * n) for n in range(3)]
    journal = [entry for call, seconds, at_s in calls for entry in entries(call, seconds=seconds, answered_at_s=at_s)]
    records = [cdr(billsec=seconds, answer_seconds=at_s) for _, seconds, at_s in calls]
    for shuffled in permutations(records):
        assert kinds(journal, list(shuffled)) == [Kind.MATCHED] * 3


def test_a_dial_that_nobody_answered_before_one_that_was() -> None:
    """The first ask is released, the second charged; the busy leg's CDR is nobody's business."""
    journal = [*entries("pbx1/1795389880.5/1", kind="release"), *entries("pbx1/1795389880.5/2")]
    assert kinds(journal, [cdr(is_answered=False, billsec=0, answer_seconds=0), cdr()]) == [Kind.MATCHED]


def test_a_channel_that_asked_and_talked_uncharged_is_extra() -> None:
    """Callgate released it, and its leg was answered all the same."""
    (finding,) = compared(entries(kind="release"), [cdr()])
    assert (finding.kind, finding.tenant) == (Kind.EXTRA, "acme")
    two_legs = [cdr(), cdr(billsec=90, answer_seconds=ANSWERED_AT_S + 20)]
    assert kinds(entries(), two_legs) == [Kind.MATCHED, Kind.EXTRA]


def test_a_cdr_of_a_call_that_is_open_in_the_books_is_told() -> None:
    """The PBX is done with it; a settle or an estimate must follow. A live call has no CDR, and is no finding."""
    assert kinds(entries(kind="open"), [cdr()]) == [Kind.OPEN]
    assert kinds(entries(kind="open"), []) == []


def test_a_stranger_is_extra_only_on_a_trunk_that_was_named() -> None:
    """Without trunks nobody can tell a metered call from an internal one."""
    stranger = cdr("1795389999.1")
    trunks = Scope("pbx1", trunks=("PJSIP/trunk",))
    assert kinds([], [stranger]) == []
    assert kinds([], [stranger, cdr("1.2", dstchannel="PJSIP/desk-3"), cdr("1.3", is_answered=False)], trunks) == [
        Kind.EXTRA
    ]
    assert kinds([], [stranger], trunks, is_free=lambda _: True) == []
    (finding,) = compared([], [stranger], trunks, payer=lambda _: "globex")
    assert finding.tenant == "globex"


def test_a_menu_before_the_ask_is_no_talk() -> None:
    """Seen: a caller's channel was answered 3 s before its leg, and billsec counts from the former."""
    journal = entries(seconds=10, answered_at_s=ANSWERED_AT_S + 3)
    assert kinds(journal, [cdr(billsec=13)]) == [Kind.MATCHED]
    assert kinds(journal, [cdr(billsec=20)]) == [Kind.DIFFERING]
    assert kinds(entries(seconds=10), [cdr(billsec=13)]) == [Kind.DIFFERING]


@pytest.mark.parametrize("zone_seconds", [0, 3600, -5 * 3600, 5 * 3600 + 45 * 60, -12_600])
def test_the_zone_of_a_cdr_makes_no_difference(zone_seconds: int) -> None:
    """With usegmtime or without: every zone is whole quarters of an hour off."""
    record = cdr(billsec=20, answer_seconds=ANSWERED_AT_S + zone_seconds)
    assert talked_seconds(record, ANSWERED_AT_S * 1000 + 999) == 20
    assert talked_seconds(record, ANSWERED_AT_S * 1000 - 5) == 20  # the caller was told after the leg
    assert talked_seconds(record, (ANSWERED_AT_S + 7) * 1000) == 13


@pytest.mark.parametrize(("billsec", "granted", "due"), [(0, 60, 1), (59, 60, 60), (60, 60, 60), (99, 60, 60)])
def test_a_second_that_was_begun_is_due_and_none_beyond_the_grant(billsec: int, granted: int, due: int) -> None:
    """As a settle would have billed it, which rounds up."""
    assert due_seconds(cdr(billsec=billsec), ANSWERED_AT_S * 1000, granted, granted) == due


def test_a_cdr_that_ends_before_the_answer_is_not_of_that_leg() -> None:
    """Nothing is due by it."""
    assert due_seconds(cdr(billsec=4), (ANSWERED_AT_S + 30) * 1000, 60, 60) is None


def test_a_leg_that_passes_unmetered_is_not_taken_for_the_calls_own() -> None:
    """A channel may dial a colleague and then the world: the one CDR that is left is the call's."""
    colleague = cdr(billsec=59, dst="2001", answer_seconds=ANSWERED_AT_S - 90)
    for kind, told in (("settle", Kind.MATCHED), ("estimate", Kind.ESTIMATE), ("open", Kind.OPEN)):
        found = compared(entries(kind=kind), [colleague, cdr()], is_free=lambda each: each.dst == "2001")
        assert [(finding.kind, finding.cdr_seconds) for finding in found] == [(told, 10)]


# Seen: the asker's CDR ends with the transfer; what follows has the leg's own Uniqueid, or the leg as second channel.
TRANSFERRED = (
    cdr("1795389880.6", billsec=30, answer_seconds=ANSWERED_AT_S + 10, dstchannel=""),
    cdr("1795389870.1", billsec=60, answer_seconds=ANSWERED_AT_S - 20),
)


@pytest.mark.parametrize("after", TRANSFERRED)
def test_a_leg_that_was_transferred_lasts_to_the_end_of_its_last_cdr(after: Cdr) -> None:
    """40 s in all: a settle of them agrees, one of the 10 s before it does not, and no estimate is lowered."""
    two = [cdr(billsec=10), after]
    (finding,) = compared(entries(seconds=41), two)
    assert (finding.kind, finding.cdr_seconds) == (Kind.MATCHED, 40)
    assert kinds(entries(seconds=10), two) == [Kind.DIFFERING]
    (finding,) = compared(entries(seconds=60, kind="estimate"), two)
    assert (finding.kind, finding.cdr_seconds) == (Kind.DIFFERING, 40)
    assert "transferred" in finding.why


def test_a_channel_of_the_same_name_at_another_time_is_another() -> None:
    """Names begin anew with the PBX."""
    later = cdr("1795399999.1", billsec=30, answer_seconds=ANSWERED_AT_S + 60)
    assert kinds(entries(kind="estimate", seconds=60), [cdr(billsec=10), later]) == [Kind.ESTIMATE]


def test_a_journal_that_begins_within_a_call_knows_not_all_that_was_granted() -> None:
    """Nor one that begins within the step that began the call: its other lot may be what is missing."""
    life = entries(kind="estimate")
    for journal, is_whole in (
        (life, True),
        (life[1:], False),
        (life[2:], False),
        ([Entry(7, "pay"), *life[1:]], False),
    ):
        (finding,) = compared(journal, [cdr()])
        assert finding.call is not None
        assert finding.call.is_whole is is_whole


def test_the_span_is_of_the_channel_and_so_the_same_on_both_sides() -> None:
    """A call is in the span by the instant in its Uniqueid; no clock and no zone can pull it from its CDR."""
    made_ms = 1_795_389_880_000
    for scope in (Scope("pbx1", from_ms=made_ms + 1), Scope("pbx1", to_ms=made_ms)):
        assert kinds(entries(seconds=10), [cdr(billsec=99)], scope) == []
    assert kinds(entries(seconds=10), [cdr()], Scope("pbx1", from_ms=made_ms, to_ms=made_ms + 1)) == [Kind.MATCHED]


@pytest.mark.parametrize(
    ("uniqueid", "made_ms"),
    [("1795389880.5", 1_795_389_880_000), ("pbx-2-1795389880.5", 1_795_389_880_000), ("mine.x", None), ("x.7", None)],
)
def test_a_uniqueid_says_when_its_channel_was_made(uniqueid: str, made_ms: int | None) -> None:
    """Behind the system's name, where it has one; an id that somebody chose does not."""
    assert made_at_ms(uniqueid) == made_ms


def test_an_id_that_somebody_chose_is_always_compared() -> None:
    """Both sides have it, and neither knows when."""
    scope = Scope("pbx1", from_ms=1, to_ms=2)
    assert kinds(entries("pbx1/mine.x/77"), [cdr("mine.x")], scope) == [Kind.MATCHED]


def test_the_calls_of_another_switch_are_not_compared() -> None:
    """Two switches can make the same Uniqueid."""
    assert kinds(entries("pbx2/1795389880.5/77"), []) == []


def test_one_tenants_findings_are_told_and_all_tenants_calls_are_known() -> None:
    """A channel that asked for globex's money is no stranger to acme."""
    books = Reconciliation(Scope("pbx1", tenant="acme", trunks=("PJSIP/",)), payer=lambda _: "acme")
    for entry in entries():
        books.book("globex", entry)
    books.record(cdr(billsec=99))
    assert list(books.findings()) == []


def test_the_same_cdr_twice_is_one() -> None:
    """Files that overlap make no second call."""
    again = cdr(where="Master.csv.1:9")
    assert kinds(entries(), [cdr(), again]) == [Kind.MATCHED]


def test_top_ups_are_no_calls() -> None:
    """An id of a top-up stands where a call's does, and may look like one."""
    assert kinds([Entry(1, "topup", call=CALL, source=-5, credit=5)], [cdr()], Scope("pbx1")) == []


def test_counts_name_every_kind() -> None:
    """Nothing found is a 0 that is printed."""
    assert counts([]) == dict.fromkeys(Kind, 0)
    assert counts(compared(entries(), []))[Kind.MISSING] == 1


def test_a_call_knows_its_channel() -> None:
    """A switch's name may hold a stroke."""
    assert BookedCall("acme", "site/pbx1/1.2/77").uniqueid == "1.2"
    assert BookedCall("acme", CALL).state is Booked.OPEN


def came_in(*, kind: str = "settle", seconds: int = 10, call: str = CALL) -> list[Entry]:
    """A call whose channel is the leg: it says so when it is reserved, and its answer names itself."""
    life = entries(call, kind=kind, seconds=seconds)
    life[0] = replace(life[0], note='{"number":"18005551234","direction":"inbound"}')
    return [replace(entry, note="1795389880.5") if entry.type == "answer" else entry for entry in life]


@pytest.mark.parametrize("dstchannel", ["", "PJSIP/desk-3"])
def test_a_call_that_came_in_is_its_channel_s_own_record(dstchannel: str) -> None:
    """Whether a menu answered it, or a phone inside."""
    assert kinds(came_in(), [cdr(dstchannel=dstchannel)], TRUNK_SCOPE) == [Kind.MATCHED]
    assert kinds(came_in(), [cdr(dstchannel=dstchannel, billsec=20)], TRUNK_SCOPE) == [Kind.DIFFERING]
    assert kinds(came_in(kind="estimate", seconds=30), [cdr(dstchannel=dstchannel)]) == [Kind.ESTIMATE]


def test_a_call_that_came_in_is_as_long_as_all_records_of_its_channel() -> None:
    """It was sent from one phone inside to the next."""
    first, second = cdr(billsec=4, dstchannel="PJSIP/desk-3"), cdr(answer_seconds=ANSWERED_AT_S + 4, billsec=6)
    assert kinds(came_in(), [first, second]) == [Kind.MATCHED]


def test_a_call_that_was_sent_on_is_found_once_for_each_of_its_legs() -> None:
    """One channel, one record, two calls; a leg outside that nobody answered is no further one."""
    outward = [replace(entry, call="pbx1/1795389880.5/78") for entry in entries()]
    assert kinds([*came_in(), *outward], [cdr()]) == [Kind.MATCHED, Kind.MATCHED]
    unanswered = [replace(entry, call="pbx1/1795389880.5/78") for entry in entries(kind="release")]
    assert kinds([*came_in(), *unanswered], [cdr()]) == [Kind.MATCHED]


def test_a_call_that_came_in_and_whose_answer_nobody_heard_is_told() -> None:
    """Released, it is extra; still held, it is open."""
    assert kinds(came_in(kind="release"), [cdr(dstchannel="")]) == [Kind.EXTRA]
    assert kinds(came_in(kind="open"), [cdr(dstchannel="")]) == [Kind.OPEN]
    assert kinds(came_in(kind="release"), [cdr(dstchannel="", is_answered=False)]) == []
