"""The answers of the API."""

from typing import Annotated, Any

from pydantic import Field

from gateway.adapters.http.api.shapes import answer, page
from gateway.core.facts import Direction
from gateway.core.quote import Outcome

CallState = Annotated[str, Field(description="reserved, answered, in_doubt or estimated")]
Target = Annotated[str, Field(description="tenant, cli:NUMBER or prefix:DIGITS")]
RechargeState = Annotated[str, Field(description="armed, requested, pending, succeeded, failed or exhausted")]
Seconds = Annotated[int, Field(ge=0)]
Count = Annotated[int, Field(ge=0)]

TenantBrief = answer("TenantBrief", "A tenant of the config in force.", tenant=str, currency=str, time_zone=str)

IncludedTime = answer(
    "IncludedTime", "Time that a month includes.", name=str, seconds=Seconds, classes=list[str], prefixes=list[str]
)
LimitFacts = answer(
    "Limit",
    "One limit; a bound that is null is none.",
    amounts="spend_per_call? spend_per_hour? spend_per_day? spend_per_month?",
    name=str,
    classes=list[str],
    prefixes=Annotated[int, Field(ge=0, description="How many.")],
    per=str,
    direction=Direction | None,
    concurrent_calls=int | None,
    calls_per_second=int | None,
    calls_per_minute=int | None,
    seconds_per_day=int | None,
    call_seconds=int | None,
    rate_per_minute=str | None,
    outside_hours=Annotated[str | None, Field(description="What part holds outside of its hours; null: it has none.")],
)
GuardFacts = answer(
    "Guard",
    "One guard; where pause_seconds is null it only tells, where it is 0 it pauses until a person lifts that.",
    name=str,
    count=int,
    window_seconds=Seconds,
    target=str,
    pause_seconds=int | None,
)
TenantTerms = answer(
    "TenantTerms",
    "A tenant's terms in force, its plan's and the defaults among them.",
    amounts="credit_limit recharge_trigger? recharge_amount?",
    tenant=str,
    currency=str,
    time_zone=str,
    accountcodes=list[str],
    home_country=str,
    tariffs=list[str],
    metered_classes=list[str],
    barred_classes=list[str],
    allowed_classes=list[str],
    barred_prefixes=Annotated[int, Field(ge=0, description="How many.")],
    allowed_prefixes=Annotated[int, Field(ge=0, description="How many.")],
    strict_allow_lists=bool,
    limits=list[LimitFacts],  # type: ignore[valid-type]
    guards=list[GuardFacts],  # type: ignore[valid-type]
    included=list[IncludedTime],  # type: ignore[valid-type]
    credit_months=int | None,
    quantum_seconds=Seconds,
    fairness=str,
    dial_timeout_seconds=Seconds,
    owned_numbers=list[str],
    has_webhook=bool,
)
BalanceFacts = answer(
    "Balance",
    "An account at one instant: credits - charges + adjustments - expired = balance.",
    amounts="balance held available credit_limit debt credits charges adjustments expired",
    tenant=str,
    currency=str,
    is_closed=bool,
    live_calls=Seconds,
    journal_entries=Seconds,
)
LotFacts = answer(
    "Lot", "What is left of one top-up.", amounts="free held", times="expires_at?", number=Annotated[int, Field(ge=0)]
)
EntryFacts = answer(
    "JournalEntry",
    "One entry of the journal; the seven amounts from source to adjustment are what it moves, and add up to 0.",
    amounts="source credit held debt revenue expired adjustment balance held_after total?",
    times="at",
    n=int,
    type=str,
    call=str,
    step=int | None,
    lot=int | None,
    pool=str,
    included_seconds=int,
    note=str,
)
TopUpFacts = answer(
    "TopUp",
    "A booked top-up; is_repeat where it was booked before.",
    amounts="amount balance",
    id=str,
    tenant=str,
    currency=str,
    is_repeat=bool,
)
ReversalFacts = answer(
    "Reversal",
    "A top-up that was taken back; is_repeat where it was before.",
    amounts="balance",
    id=str,
    tenant=str,
    currency=str,
    is_repeat=bool,
)
CallFacts = answer(
    "LiveCall",
    "A call whose books are open. The time is that of its PBX's clock; null before the answer.",
    amounts="charged held",
    times="answered_at?",
    tenant=str,
    call=str,
    state=CallState,
    number=str,
    cli=str,
    call_class=str,
    direction=Direction,
    granted_seconds=Seconds,
    included_seconds=Seconds,
)
CutFacts = answer("Cut", "The PBX was told to end the call; it settles as usual.", tenant=str, call=str)
ForecastFacts = answer(
    "Forecast",
    "When nothing is available any more, and what is spent a minute then.",
    amounts="rate_per_minute",
    seconds_to_zero=Seconds,
)
RechargeFacts = answer(
    "Recharge",
    "A tenant's rule of recharges, and where the last one is. Where until is null, the clock brings nothing.",
    amounts="trigger? amount? amount_per_day? last_amount?",
    times="requested_at? until?",
    tenant=str,
    currency=str,
    mode=Annotated[str, Field(description="none, fixed, level or trigger_plus")],
    recharges_per_day=int | None,
    retry_seconds=int | None,
    give_up_after=int | None,
    timeout_seconds=int | None,
    forecast_minutes=int | None,
    forecast=Annotated[ForecastFacts | None, Field(description="null: nothing is spent")],
    is_by_hand=Annotated[bool, Field(description="The rule was set here, over the config's.")],
    state=RechargeState,
    last_id=str | None,
    failures=Seconds,
    reason=str,
)
RechargedFacts = answer(
    "Recharged",
    "The tenant's recharge after this step; is_repeat where it changed nothing.",
    amounts="balance",
    tenant=str,
    currency=str,
    state=RechargeState,
    is_repeat=bool,
)
RestrictionFacts = answer(
    "Restriction",
    "Asks are refused: all of a tenant, of one caller, or to one prefix; where until is null, until that is lifted.",
    times="since until?",
    target=Target,
    guard=Annotated[str, Field(description="by_hand, or the guard that tripped")],
    why=str,
)
LiftFacts = answer("Lift", "What was lifted, if it was there.", tenant=str, target=str, was_restricted=bool)
CountryFacts = answer("Country", "A country that calls may go to.", tenant=str, country=str)
RefusalFacts = answer(
    "Refusal",
    "A refused call, on what figures.",
    times="at",
    call=str,
    reason=str,
    limit=str,
    used=int,
    most=int,
    facts=dict[str, Any],
)
StepFacts = answer(
    "CallStep",
    "A step of the books for a call: what it held more (below 0: freed) and charged; with a total, it closed it.",
    amounts="held charged total?",
    times="at",
    type=str,
    step=int | None,
    note=str,
)
StoryFacts = answer(
    "CallStory",
    "What became of one ask. The ask's time is that of its PBX's clock, all others are the ledger's.",
    times="asked_at?",
    tenant=str,
    currency=str,
    call=str,
    state=Annotated[str, Field(description="refused, reserved, answered, in_doubt, estimated or closed")],
    number=str,
    cli=str,
    call_class=str,
    granted_seconds=Seconds,
    refusal=Annotated[RefusalFacts | None, Field(description="null: it was let pass")],
    steps=list[StepFacts],  # type: ignore[valid-type]
    is_whole=Annotated[bool, Field(description="false: too much lies between its steps to have looked at it all")],
)
PointFacts = answer("BalancePoint", "The account right after an entry.", amounts="balance held", times="at")
HourFacts = answer(
    "HourSpent",
    "What was charged in an hour; one that is over is rounded up to a cent.",
    amounts="charged",
    times="at",
)
HistoryFacts = answer(
    "BalanceHistory",
    "The first entry after each of so many instants, and the hours of the last week, of UTC.",
    tenant=str,
    currency=str,
    points=list[PointFacts],  # type: ignore[valid-type]
    hours=list[HourFacts],  # type: ignore[valid-type]
)
SwitchFacts = answer(
    "Switch",
    "A switch, and the gateway that owns it; null where none does.",
    times="owned_since?",
    switch=str,
    owner=str | None,
    heir=Annotated[str | None, Field(description="The gateway that it was given to, and that is about to take it.")],
)
GatewayFacts = answer(
    "Gateway",
    "A gateway that lives. It hears a switch while its links to it are up.",
    gateway=str,
    calls=Annotated[int, Field(ge=0, description="Live ones.")],
    is_draining=bool,
    hears=list[str],
)
SwitchList = answer(
    "Switches",
    "Who owns what, of all gateways on these books.",
    items=list[SwitchFacts],  # type: ignore[valid-type]
    gateways=list[GatewayFacts],  # type: ignore[valid-type]
)
EventFacts = answer("Event", "An event that waits.", times="at", event=str, type=str)
DeadEventFacts = answer(
    "DeadEvent", "An event that was given up.", times="at given_up_at", event=str, type=str, why=str
)
PaymentLaneFacts = answer(
    "PaymentLane",
    "Requests for a recharge, where a payment program has them.",
    times="failing_since?",
    waiting=Count,
    oldest_seconds=Seconds,
    failed_attempts=int,
    next_attempt_seconds=Seconds,
    why=str,
)
OutboxFacts = answer(
    "Outbox",
    "A tenant's events. Where disabled_since is there, the webhook said 410 and gets nothing.",
    times="failing_since? disabled_since?",
    tenant=str,
    waiting=Count,
    oldest_seconds=Seconds,
    dead=Count,
    failed_attempts=Annotated[int, Field(ge=0, description="Since the last that was acknowledged.")],
    next_attempt_seconds=Seconds,
    why=Annotated[str, Field(description="What came of the last attempt that failed.")],
    payments=Annotated[PaymentLaneFacts | None, Field(description="null: the webhook has these, too")],
    events=list[EventFacts],  # type: ignore[valid-type]
    dead_events=list[DeadEventFacts],  # type: ignore[valid-type]
)
RunFacts = answer(
    "Run",
    "Blocks of one row and price. Rates are exact, in units of the currency.",
    from_second=Seconds,
    to_second=Seconds,
    blocks=Seconds,
    block_seconds=Seconds,
    rate_per_minute=str,
    amount=str,
    is_included=bool,
    prefix=str,
    destination=str,
)
ChargeFacts = answer(
    "Charge",
    "What a call of that length costs, and how that comes about.",
    amounts="charge",
    seconds=Seconds,
    billed_seconds=Seconds,
    included_seconds=Seconds,
    connect_fee=str,
    exact_charge=str,
    runs=list[RunFacts],  # type: ignore[valid-type]
)
QuoteFacts = answer(
    "Quote",
    "What becomes of such a call. A refusal is an answer, and its reason a stable code.",
    times="answered_at",
    tenant=str,
    currency=str,
    number=str,
    call_class=str,
    direction=Direction,
    outcome=Outcome,
    reason=str,
    sentence=str,
    charge=ChargeFacts | None,
)
ReloadFacts = answer("Reload", "The config's files are in force.", warnings=list[str])

TenantPage = page("TenantPage", TenantBrief)
BalancePage = page("BalancePage", BalanceFacts)
EntryPage = page("JournalPage", EntryFacts)
CallPage = page("LiveCallPage", CallFacts)
LotList = answer("Lots", "All lots that have money.", items=list[LotFacts])  # type: ignore[valid-type]
RestrictionList = answer("Restrictions", "All in force.", items=list[RestrictionFacts])  # type: ignore[valid-type]
RefusalList = answer("Refusals", "The last ones, newest first.", items=list[RefusalFacts])  # type: ignore[valid-type]
