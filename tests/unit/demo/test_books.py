"""The proof of the books finds what is wrong."""

import asyncio
import io
from dataclasses import replace

import pytest
from rich.console import Console

from gateway.core.cdr import CallRecord
from gateway.demo.board import LineBoard, TableBoard, show_books
from gateway.demo.books import Opening, TenantBooks, Witness, opening
from gateway.demo.channels import Call, Channel, End, Outcome
from gateway.ports import Balance, CallKey, StoredCall

BEGUN = Opening(balance_micros=1_000_000, credits_micros=5_000_000, charges_micros=4_000_000, adjustments_micros=0)
END = Balance(
    tenant="acme",
    currency="USD",
    is_closed=False,
    balance_micros=2_700_000,
    held_micros=0,
    credit_limit_micros=0,
    credits_micros=7_000_000,
    charges_micros=4_300_000,
    adjustments_micros=0,
    expired_micros=0,
    live_calls=0,
    journal_entries=1,
)
RECORD = CallRecord(
    call_id="demo/1.1/77",
    switch="demo",
    tenant="acme",
    cli="",
    dialled="18005550100",
    e164="18005550100",
    call_class="toll_free",
    outcome="settled",
    reason="",
    asked_at_ms=1000,
    answered_at_ms=2000,
    ended_at_ms=11_600,
    billsec=10,
    granted_seconds=12,
    extensions=2,
    charged_micros=300_000,
    balance_micros=700_000,
    currency="USD",
    prefix="1800",
    leg="1.2",
    cause_q850=16,
    was_cut=False,
)


def seen(end: End, talked_ms: int, uniqueid: str = "1.1") -> Call:
    """A call as the PBX saw it."""
    future: asyncio.Future[Outcome] = asyncio.Future(loop=asyncio.new_event_loop())
    future.set_result(Outcome(end, "no_credit" if end is End.DENIED else "", 16, talked_ms))
    caller = Channel("PJSIP/acme-1", uniqueid, uniqueid, "", "", "", 0.0)
    is_talk = talked_ms > 0
    return Call("acme", "1800", 0, 0, True, future, caller, cap_ms=60_000 * is_talk, answered_at=1.0 * is_talk)


def audit(end: Balance = END, *records: CallRecord, calls: tuple[Call, ...] | None = None) -> TenantBooks:
    """The books of one tenant: one call of 9.6 s, one top-up of 2.00, unless told otherwise."""
    witness = Witness()
    for record in records or (RECORD,):
        witness.write(record)
    for call in calls if calls is not None else (seen(End.HUNG_UP, 9_600),):
        witness.saw(call)
    witness.paid_micros["acme"] = 2_000_000
    witness.looked({"acme": end})
    (books,) = witness.audit({"acme": BEGUN}, {"acme": end}, set())
    return books


def test_books_that_agree_hold() -> None:
    """Opening, top-ups, charges and seconds that fit leave no fault."""
    books = audit()
    assert books.faults == ()
    assert (books.charges_micros, books.metered, books.calls) == (300_000, 1, 1)


@pytest.mark.parametrize(
    ("books", "fault"),
    [
        (audit(replace(END, balance_micros=2_699_999)), "the sum is not the balance"),
        (audit(replace(END, credits_micros=7_000_001)), "other top-ups were booked than paid"),
        (audit(END, replace(RECORD, charged_micros=299_999)), "the charges of the calls do not add up"),
        (audit(replace(END, held_micros=1)), "money is still held"),
        (audit(replace(END, live_calls=2)), "2 calls are still open"),
        (audit(replace(END, held_micros=2_700_001)), "more was spent than there was"),
        (audit(calls=(seen(End.CUT, 9_600),)), "calls were cut though there was money"),
        (audit(END, replace(RECORD, billsec=12)), "call 1.1 talked 9600 ms and is billed 12 s"),
        (audit(calls=(seen(End.HUNG_UP, 9_600, "1.9"),)), "call 1.9 talked 9600 ms and has no record"),
        (
            audit(END, replace(RECORD, charged_micros=0), replace(RECORD, call_id="demo/1.1/78")),
            "call 1.1 is billed 2 times",
        ),
    ],
)
def test_what_does_not_agree_is_named(books: TenantBooks, fault: str) -> None:
    """Each kind of disagreement is found and said."""
    assert fault in books.faults


def test_a_later_record_replaces_an_estimate() -> None:
    """Of two records of one call the last counts, and its adjustment balances the ledger's charge."""
    estimate = replace(RECORD, charged_micros=500_000, outcome="estimated")
    end = replace(END, charges_micros=4_500_000, adjustments_micros=200_000)
    assert audit(end, estimate, RECORD).faults == ()


def test_calls_taken_over_count_from_their_beginning() -> None:
    """What a live call had been charged before the demo is put back into the opening: its record will hold it all."""
    live = StoredCall(CallKey("acme", "demo/0.1/5"), "answered", 2, 8, 150_000, 50_000, "0.2", 1, 1, "{}")
    begun = opening(replace(END, live_calls=1), [live])
    assert (begun.balance_micros, begun.charges_micros) == (2_850_000, 4_150_000)


def test_a_refusal_is_counted_by_its_reason() -> None:
    """Denied calls are counted with their reasons."""
    witness = Witness()
    witness.saw(seen(End.DENIED, 0))
    assert witness.reasons == {"no_credit": 1}


def test_the_summary_says_what_is_wrong() -> None:
    """The printed books name the tenant and the fault, and sum each currency."""
    out = Console(file=io.StringIO(), width=150)
    show_books(out, [audit(), replace(audit(replace(END, held_micros=1)), tenant="other")])
    text = out.file.getvalue()  # type: ignore[attr-defined]
    assert "other: money is still held" in text
    assert "all USD" in text
    assert "WRONG" in text


def test_news_is_printed_as_it_is() -> None:
    """A plain board prints one line for each piece of news, and takes no markup from it."""
    out = Console(file=io.StringIO(), width=80)
    with LineBoard(out) as board:
        board.tell("acme", "refused [bold]18005550100[/bold]")
        board.show({"acme": END}, {"acme": 1}, "1 call")
    lines = out.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert len(lines) == 1
    assert lines[0].endswith("acme          refused [bold]18005550100[/bold]")


def test_the_table_shows_every_account() -> None:
    """On a terminal the table holds balance, held and available of each tenant, and the last news."""
    out = Console(file=io.StringIO(), width=120, height=40, force_terminal=True)
    with TableBoard(out) as board:
        board.tell("acme", "recharged [by card]")
        board.show({"acme": replace(END, held_micros=200_000)}, {"acme": 3}, "3 calls")
    text = out.file.getvalue()  # type: ignore[attr-defined]
    for shown in ("acme", "2.70 USD", "0.20", "2.50", "recharged [by card]"):
        assert shown in text
