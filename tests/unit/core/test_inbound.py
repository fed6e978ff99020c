"""Calls that come in on an owned number: who pays, at what price, and on which leg."""

from fractions import Fraction

import pytest

from gateway.core.books import Refused
from gateway.core.call import Call, State, Terms
from gateway.core.decide import Deny, decide
from gateway.core.effects import Arm, Bound, Close, RecordAnswer, SendVerdict, Settle, Wake
from gateway.core.events import CallerEnded, LegEnded, QuotaLow
from gateway.core.facts import Ask, ChannelStatus, Direction, LegAnswered
from gateway.core.guards import TENANT_PAUSE, Guard, Guards, Target
from gateway.core.lifecycle import advance
from gateway.core.limits import Limit
from gateway.core.quote import Outcome, quote
from gateway.core.reasons import Reason
from gateway.core.restrain import curbs_of_ask, curbs_of_refusal, short_call_of
from gateway.core.tenant import Inbound, Tenant
from gateway.core.unasked import ask_of_incoming, judge, was_let_in
from rating import CallClass, Rate, Tariff, TariffChain
from tests.unit.core.build import ASKED_AT_MS, CALLER, ask, grant, rate, tenant

OWNED = "+18005551234"
DEADLINE_MS = ASKED_AT_MS + 2_000
INBOUND_ROW = Rate("1800", "Toll-free", Fraction(0), Fraction("1.20"), 1, 1, 2)
INBOUND = Inbound(frozenset({OWNED}), TariffChain((Tariff("inbound", (INBOUND_ROW,)),)))


def owner(**changes: object) -> Tenant:
    return tenant(**({"inbound": INBOUND, "metered_classes": frozenset()} | changes))


def incoming(number: str = OWNED, **changes: object) -> Ask:
    return ask(number, **({"tenant": "", "direction": Direction.INBOUND} | changes))


def decided(payer: Tenant | None, one: Ask) -> Deny | Terms:
    decision = decide(one, payer, DEADLINE_MS, lambda _: True)
    assert isinstance(decision, Deny | Terms)
    return decision


def allowed(seconds: int = 60, **of_ask: object) -> Call:
    terms = decided(owner(), incoming(**of_ask))
    assert isinstance(terms, Terms)
    call = Call(terms)
    advance(call, grant(seconds))
    return call


# ------------------------------------------------------------------------------------------------------ deciding


@pytest.mark.parametrize("number", [OWNED, "18005551234"])
def test_an_owned_number_is_priced_by_the_inbound_tariff_whatever_is_unmetered(number: str) -> None:
    """Trunks write it with the plus or without."""
    terms = decided(owner(), incoming(number))
    assert isinstance(terms, Terms)
    assert terms.destination.e164 == terms.dial_number == OWNED
    assert terms.destination.call_class is CallClass.TOLL_FREE
    assert terms.price.rates[0] == INBOUND_ROW


@pytest.mark.parametrize("number", ["+18005551235", "112", "911", "5551234", "#*", "++18005551234"])
def test_a_number_that_nobody_owns_is_refused_an_emergency_number_too(number: str) -> None:
    """It is what somebody outside dialled, and no call for help of the tenant's."""
    assert decided(owner(), incoming(number)) == Deny(Reason.NOT_OWNED, "acme")
    assert decided(None, incoming(number)) == Deny(Reason.NOT_OWNED, "")


def test_an_owned_number_without_a_row_is_refused_never_free() -> None:
    """A gap in the inbound tariff must not become a free call."""
    bare = Inbound(frozenset({OWNED}), TariffChain((Tariff("inbound", (rate(),)),)))
    assert decided(owner(inbound=bare), incoming()) == Deny(Reason.NO_RATE, "acme")


@pytest.mark.parametrize(("direction", "is_refused"), [(None, True), ("inbound", True), ("outbound", False)])
def test_a_limit_holds_for_the_direction_that_it_names_or_for_both(direction: str | None, is_refused: bool) -> None:
    """By the class toll_free and the prefix of the owned number, as for calls that go out."""
    limit = Limit("dear", rate_per_minute=Fraction(1), direction=None if direction is None else Direction(direction))
    decision = decided(owner(limits=(limit,)), incoming())
    assert isinstance(decision, Deny) is is_refused


def test_guards_do_not_look_at_calls_that_come_in() -> None:
    """Else whoever dials an owned number often, and briefly, could have its owner paused."""
    each = Guard("any", 2, 60, Target.TENANT, 0)
    guards = Guards(each, each, 10, each, tells_new_country=True, holds_new_country=True)
    terms = decided(owner(guards=guards), incoming())
    assert isinstance(terms, Terms)
    curbs = curbs_of_ask(terms)
    assert not curbs.is_guarded
    assert not curbs.holds_new_country
    assert curbs.pauses == (TENANT_PAUSE, "cli:12125550100")
    assert curbs_of_refusal(terms.tenant, terms.ask).refusals is None
    assert short_call_of(terms) is None


def test_a_quote_of_an_owned_number_names_the_direction() -> None:
    """And says in a sentence where the tenant does not own it."""
    found = quote(owner(), "18005551234", ASKED_AT_MS, Direction.INBOUND)
    assert (found.number, found.outcome, found.direction) == (OWNED, Outcome.METERED, Direction.INBOUND)
    assert found.charge(30).charge_micros == 600_000
    strange = quote(owner(), "+18005550000", ASKED_AT_MS, Direction.INBOUND)
    assert (strange.outcome, strange.reason) == (Outcome.REFUSED, Reason.NOT_OWNED)
    assert strange.sentence == "acme does not own the number +18005550000."


# ------------------------------------------------------------------------------------------------------- its life


def test_the_channel_that_asks_is_the_leg_and_its_cap_is_set_at_its_answer() -> None:
    """The dialplan's own cap runs from the verdict: it holds should nobody hear the answer, and is too short else."""
    call = allowed(60)
    assert call.state is State.RESERVED
    record, arm, _ = advance(call, LegAnswered(CALLER, ASKED_AT_MS + 20_000))
    assert isinstance(record, RecordAnswer)
    assert arm == Arm(CALLER, ASKED_AT_MS + 80_000, 60, 60_000)
    (settle,) = advance(call, LegEnded(CALLER, ASKED_AT_MS + 32_000, 16))
    assert isinstance(settle, Settle)
    assert (settle.seconds, settle.charge_micros) == (12, 240_000)
    assert call.record("settled", 240_000, 0).direction == "inbound"


def test_while_it_rings_its_cap_moves_on_a_grant_at_a_time() -> None:
    """A caller in a queue may ring for longer than the first grant; what is talked unheard is never more than it."""
    call = allowed(60)
    at_ms = ASKED_AT_MS + 55_000
    assert advance(call, QuotaLow(at_ms)) == (Bound(CALLER, at_ms + 60_000), Wake(at_ms + 55_000, is_over=False))
    assert call.state is State.RESERVED


def test_who_rings_for_longer_than_the_price_is_held_for_is_let_ring_out() -> None:
    """The last cap ends it."""
    call = allowed(60)
    assert advance(call, QuotaLow(call.terms.latest_answer_ms)) == ()


def test_a_caller_who_gives_up_before_the_answer_costs_nothing() -> None:
    """All that is held goes back."""
    call = allowed()
    advance(call, LegEnded(CALLER, ASKED_AT_MS + 3_000, 16))
    advance(call, CallerEnded(ASKED_AT_MS + 3_000))
    assert call.state is State.RELEASED


def test_a_channel_that_was_up_before_it_asked_is_charged_from_its_ask() -> None:
    """An IVR that answers first: what it talked before is nobody's to charge."""
    terms = decided(owner(), incoming(is_up=True))
    assert isinstance(terms, Terms)
    call = Call(terms)
    verdict, record, arm, _ = advance(call, grant(60))
    assert isinstance(verdict, SendVerdict)
    assert isinstance(record, RecordAnswer)
    assert arm == Arm(CALLER, ASKED_AT_MS + 60_000, 60, 60_000)
    assert call.state is State.ANSWERED


def test_one_that_is_answered_while_it_waits_is_charged_from_then() -> None:
    """Somebody redirected it meanwhile."""
    terms = decided(owner(), incoming())
    assert isinstance(terms, Terms)
    call = Call(terms)
    assert advance(call, LegAnswered(CALLER, ASKED_AT_MS + 500)) == ()
    _, _, arm, _ = advance(call, grant(60))
    assert arm == Arm(CALLER, ASKED_AT_MS + 60_500, 60, 60_000)


def test_its_refusal_is_a_verdict_and_ends_no_leg() -> None:
    """The dialplan hangs up before the answer: nothing is billed upstream."""
    terms = decided(owner(), incoming())
    assert isinstance(terms, Terms)
    verdict, close = advance(Call(terms), Refused(Reason.NO_CREDIT))
    assert isinstance(verdict, SendVerdict)
    assert isinstance(close, Close)


# ------------------------------------------------------------------------------------------------- nobody asked


def channel(dnid: str = "18005551234", **variables: str) -> ChannelStatus:
    return ChannelStatus(CALLER, CALLER, "PJSIP/trunk-00000001", True, 0, dnid=dnid, variables=variables)


def test_an_answered_channel_that_never_asked_is_judged_by_the_number_it_came_in_on() -> None:
    """As its owner's own ask would be."""
    one = ask_of_incoming("pbx1", channel(), ASKED_AT_MS)
    assert one.is_unasked
    assert isinstance(judge(one, owner(), lambda _: True), Terms)
    assert isinstance(judge(one, None, lambda _: True), Deny)


def test_who_was_let_in_without_a_verdict_has_the_cap_that_the_admin_chose() -> None:
    """For that very number only."""
    assert was_let_in(channel(CALLGATE_REASON="no_verdict", CALLGATE_DIAL=OWNED))
    assert not was_let_in(channel(CALLGATE_REASON="no_verdict", CALLGATE_DIAL="+18005550000"))
    assert not was_let_in(channel(CALLGATE_REASON="ok", CALLGATE_DIAL=OWNED))
    assert not was_let_in(channel())
