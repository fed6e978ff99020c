"""What a row says of a call, and which of a tenant's limits bound its day."""

from gateway.core.books import Refused
from gateway.core.effects import Close
from gateway.core.events import QuotaLow
from gateway.core.gating import Gating, SwitchHealth, gating
from gateway.core.lifecycle import advance
from gateway.core.limits import Limit, Per
from gateway.core.live_rows import call_row, day_limits, refusal_of, refusal_row
from gateway.core.reasons import Reason

from . import build

AHEAD_MS = 250


def test_times_are_those_of_the_gateways_clock() -> None:
    """A PBX whose clock is behind does not make its calls longer."""
    row = call_row(build.answered_call(60), AHEAD_MS)
    answered_ms = build.ASKED_AT_MS + 5_000 + AHEAD_MS
    assert (row["answered_at_ms"], row["cut_at_ms"]) == (answered_ms, answered_ms + 60_000)
    assert row["counted_at_ms"] == answered_ms


def test_a_call_that_rings_has_no_time_to_count() -> None:
    """Nor a cut; what it may cost is said all the same."""
    call = build.call()
    advance(call, build.grant(60))
    row = call_row(call, 0)
    assert "answered_at_ms" not in row
    assert row["granted_seconds"] == 60


def test_a_call_that_gets_no_more_says_why() -> None:
    """Its cut is for good."""
    call = build.answered_call(60)
    advance(call, QuotaLow(call.cap_at_ms - 5_000))
    advance(call, Refused(Reason.NO_CREDIT))
    row = call_row(call, 0)
    assert (row["state"], row["final"]) == ("final", "no_credit")


def test_what_a_caller_made_up_is_kept_as_it_is() -> None:
    """Text goes through as text: whoever shows it puts it in as such."""
    hostile = '<img src=x onerror="alert(1)">\u202e'
    row = refusal_row(build.ask(cli=hostile), "bad_number", "acme", "", 5)
    assert row["cli"] == hostile


def test_a_refusal_of_the_ledgers_names_its_limit() -> None:
    """Which of several it was is what an admin looks for; lack of credit names none."""
    for refused in (Refused(Reason.SPEND_LIMIT, limit="day", used=9, most=9), Refused(Reason.NO_CREDIT)):
        (close,) = (one for one in advance(build.call(), refused) if isinstance(one, Close))
        row = refusal_of(close.record, 5)
        assert (row["reason"], row["limit"]) == (str(refused.reason), refused.limit)


def test_a_days_bounds_are_those_of_the_tenant_as_a_whole() -> None:
    """Its counter is that which the ledger counts by; a limit on callers apart has none of its own."""
    limits = (
        Limit("day", spend_per_day_micros=5_000_000),
        Limit("hour", spend_per_hour_micros=5_000_000),
        Limit("phones", per=Per.CLI, spend_per_day_micros=1_000_000),
    )
    found = day_limits(build.tenant(limits=limits), 1_795_424_000_000)
    assert found == [("day", "day||2026-11-23|money", 5_000_000)]


def switch(*, is_up: bool = True, is_owned: bool = True, owner: str = "me") -> SwitchHealth:
    """One in good health, but for these."""
    return SwitchHealth("pbx1", is_up, "", is_owned, owner, 0, 1.0, 0, 0, 0, 0)


def test_the_gate_in_one_word() -> None:
    """It is never called gating where a dialplan decides by itself."""
    up, down, others, nobodys = (
        switch(),
        switch(is_up=False),
        switch(is_owned=False, owner="other"),
        switch(is_owned=False, owner=""),
    )
    assert gating([up], has_ledger=True) is Gating.GATING
    assert gating([up, others], has_ledger=True) is Gating.GATING
    assert gating([up, down], has_ledger=True) is Gating.PARTLY
    assert gating([up, nobodys], has_ledger=True) is Gating.PARTLY
    assert gating([others], has_ledger=True) is Gating.STANDBY
    assert gating([up], has_ledger=False) is Gating.NO_LEDGER
    assert gating([down], has_ledger=True) is Gating.NOT_GATING
    assert gating([], has_ledger=True) is Gating.NOT_GATING
