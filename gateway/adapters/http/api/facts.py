"""From what the desk says to what is answered."""

import asyncio
import json
import math
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from gateway.adapters.http.api import answers
from gateway.adapters.http.api.problems import ApiProblem
from gateway.adapters.http.api.shapes import Answer
from gateway.core.forecast import Forecast
from gateway.core.guards import Guard
from gateway.core.journal import ACCOUNTS, Entry
from gateway.core.limits import Limit
from gateway.core.ownership import View
from gateway.core.quote import Quote
from gateway.core.recharge import Mode, recharge_id
from gateway.core.tenant import Tenant
from gateway.ports import Balance, DeadEvent, Lot, OutboxState, Recharged, RechargeStatus, Refusal, Restriction
from gateway.service.desk import Events, LiveCall
from gateway.service.history import History
from gateway.service.story import CallStory
from rating import AmountError, Run, format_rate

SLICE = 16  # made at a time: about a millisecond, in which no verdict is written

T = TypeVar("T")


async def each(found: Sequence[T], made: Callable[[T], Answer]) -> list[Answer]:
    """Make an answer of each, some at a time."""
    items: list[Answer] = []
    for start in range(0, len(found), SLICE):
        items += map(made, found[start : start + SLICE])
        await asyncio.sleep(0)
    return items


def brief(tenant: Tenant) -> Answer:
    """A tenant in a list."""
    return answers.TenantBrief.of(tenant=tenant.tenant_id, currency=tenant.currency, time_zone=tenant.zone.key)


def terms(tenant: Tenant) -> Answer:
    """A tenant's terms in force."""
    included = [
        answers.IncludedTime.of(
            name=pool.name, seconds=pool.seconds, classes=sorted(pool.classes), prefixes=list(pool.prefixes)
        )
        for pool in tenant.included
    ]
    of = tenant.guards
    return answers.TenantTerms.of(
        tenant=tenant.tenant_id,
        currency=tenant.currency,
        time_zone=tenant.zone.key,
        accountcodes=list(tenant.accountcodes),
        home_country=tenant.plan.home_country,
        tariffs=[tariff.name for tariff in tenant.tariffs.tariffs],
        metered_classes=sorted(tenant.metered_classes),
        barred_classes=sorted(tenant.barring.classes),
        allowed_classes=sorted(tenant.barring.allowed_classes),
        barred_prefixes=len(tenant.barring.prefixes),
        allowed_prefixes=len(tenant.barring.allowed_prefixes),
        strict_allow_lists=tenant.barring.is_strict,
        limits=[_limit(limit) for limit in tenant.limits],
        guards=[_guard(guard) for guard in (of.refusals, of.short_calls, of.sequence) if guard is not None],
        included=included,
        credit_limit=tenant.credit_limit_micros,
        credit_months=tenant.credit_months,
        recharge_trigger=None if tenant.recharge is None else tenant.recharge.trigger_micros,
        recharge_amount=None if tenant.recharge is None else tenant.recharge.amount_micros,
        quantum_seconds=tenant.quantum_seconds,
        fairness=str(tenant.fairness),
        dial_timeout_seconds=tenant.dial_timeout_seconds,
        owned_numbers=sorted(tenant.inbound.numbers),
        has_webhook=bool(tenant.webhook_url),
    )


def _limit(limit: Limit) -> Answer:
    return answers.LimitFacts.of(
        name=limit.name,
        classes=sorted(limit.classes),
        prefixes=len(limit.prefixes),
        per=str(limit.per),
        direction=limit.direction,
        concurrent_calls=limit.concurrent_calls,
        calls_per_second=limit.calls_per_second,
        calls_per_minute=limit.calls_per_minute,
        spend_per_call=limit.spend_per_call_micros,
        spend_per_hour=limit.spend_per_hour_micros,
        spend_per_day=limit.spend_per_day_micros,
        spend_per_month=limit.spend_per_month_micros,
        seconds_per_day=limit.seconds_per_day,
        call_seconds=limit.call_seconds,
        rate_per_minute=None if limit.rate_per_minute is None else format_rate(limit.rate_per_minute),
        outside_hours=None if limit.hours is None else format_rate(limit.outside),
    )


def _guard(guard: Guard) -> Answer:
    return answers.GuardFacts.of(
        name=guard.name,
        count=guard.count,
        window_seconds=guard.window_seconds,
        target=str(guard.target),
        pause_seconds=guard.pause_seconds,
    )


def quote(found: Quote, seconds: int | None) -> Answer:
    """What becomes of a call, and what it costs where it is metered and its length is known. Raises ApiProblem."""
    return answers.QuoteFacts.of(
        tenant=found.tenant.tenant_id,
        currency=found.tenant.currency,
        number=found.number,
        call_class=str(found.call_class),
        direction=found.direction,
        answered_at=found.at_ms,
        outcome=found.outcome,
        reason=str(found.reason),
        sentence=found.sentence,
        charge=_charge(found, seconds) if found.price is not None and seconds is not None else None,
    )


def _charge(found: Quote, seconds: int) -> Answer:
    try:
        account = found.charge(seconds)
    except AmountError as error:
        raise ApiProblem("bad_amount", str(error)) from error
    return answers.ChargeFacts.of(
        charge=account.charge_micros,
        seconds=account.seconds,
        billed_seconds=account.billed_seconds,
        included_seconds=account.included_seconds,
        connect_fee=format_rate(account.fee),
        exact_charge=format_rate(account.exact_charge),
        runs=[_run(part) for part in account.runs],
    )


def _run(part: Run) -> Answer:
    return answers.RunFacts.of(
        from_second=part.from_second,
        to_second=part.to_second,
        blocks=part.blocks,
        block_seconds=part.block_seconds,
        rate_per_minute=format_rate(part.per_minute),
        amount=format_rate(part.amount),
        is_included=part.is_included,
        prefix=part.rate.prefix,
        destination=part.rate.destination,
    )


def balance(row: Balance) -> Answer:
    """An account."""
    return answers.BalanceFacts.of(
        tenant=row.tenant,
        currency=row.currency,
        is_closed=row.is_closed,
        balance=row.balance_micros,
        held=row.held_micros,
        available=row.available_micros,
        credit_limit=row.credit_limit_micros,
        debt=row.debt_micros,
        credits=row.credits_micros,
        charges=row.charges_micros,
        adjustments=row.adjustments_micros,
        expired=row.expired_micros,
        live_calls=row.live_calls,
        journal_entries=row.journal_entries,
    )


def entry(one: Entry) -> Answer:
    """An entry of the journal."""
    return answers.EntryFacts.of(
        n=one.n,
        type=one.type,
        at=one.at_ms,
        call=one.call,
        step=one.step,
        lot=one.lot,
        **dict(zip(ACCOUNTS, one.deltas, strict=True)),
        balance=one.balance,
        held_after=one.held_after,
        total=one.total,
        pool=one.pool,
        included_seconds=one.included,
        note=one.note,
    )


def call(live: LiveCall) -> Answer:
    """A live call."""
    stored = live.stored
    return answers.CallFacts.of(
        tenant=stored.key.tenant,
        call=stored.key.call_id,
        state=stored.state,
        number=live.number,
        cli=live.cli,
        call_class=live.call_class,
        direction=live.direction,
        granted_seconds=stored.granted_seconds,
        included_seconds=stored.included_seconds,
        charged=stored.charged_micros,
        held=stored.held_micros,
        answered_at=stored.answered_at_ms or None,
    )


def lot(one: Lot) -> Answer:
    """What is left of a top-up."""
    return answers.LotFacts.of(
        number=one.number, free=one.free_micros, held=one.held_micros, expires_at=one.expires_at_ms
    )


def recharge(tenant: Tenant, one: RechargeStatus) -> Answer:
    """A tenant's rule of recharges, and where the last one is."""
    rule = one.rule
    return answers.RechargeFacts.of(
        tenant=tenant.tenant_id,
        currency=tenant.currency,
        mode=str(Mode.NONE if rule is None else rule.mode),
        trigger=rule and rule.trigger_micros,
        amount=rule and rule.amount_micros,
        recharges_per_day=rule and rule.recharges_a_day,
        amount_per_day=rule and rule.micros_a_day,
        retry_seconds=rule and rule.retry_seconds,
        give_up_after=rule and rule.give_up_after,
        timeout_seconds=rule and rule.timeout_seconds,
        forecast_minutes=rule and rule.forecast_minutes,
        forecast=one.forecast and _forecast(one.forecast),
        is_by_hand=one.is_by_hand,
        state=str(one.state),
        last_id=recharge_id(tenant.tenant_id, one.number) if one.number else None,
        last_amount=one.amount_micros if one.number else None,
        requested_at=one.requested_at_ms,
        until=one.until_ms,
        failures=one.failures,
        reason=one.reason,
    )


def _forecast(one: Forecast) -> Answer:
    return answers.ForecastFacts.of(seconds_to_zero=one.seconds_to_zero, rate_per_minute=one.micros_a_minute)


def recharged(tenant: Tenant, one: Recharged) -> Answer:
    """What became of a step of a recharge."""
    return answers.RechargedFacts.of(
        tenant=tenant.tenant_id,
        currency=tenant.currency,
        state=str(one.state),
        balance=one.balance_micros,
        is_repeat=one.is_repeat,
    )


def restriction(one: Restriction) -> Answer:
    """A quarantine or a guard's pause."""
    return answers.RestrictionFacts.of(
        target=one.target, guard=one.guard, why=one.why, since=one.since_ms, until=one.until_ms
    )


def refusal(one: Refusal) -> Answer:
    """A refused call."""
    return answers.RefusalFacts.of(
        call=one.call_id,
        at=one.at_ms,
        reason=str(one.reason),
        limit=one.limit,
        used=one.used,
        most=one.most,
        facts=_memo(one.meta),
    )


def story(tenant: Tenant, one: CallStory) -> Answer:
    """What became of a call."""
    asked, stored = one.asked, one.stored
    state = "refused" if one.refusal is not None else "closed" if stored is None else stored.state
    at_ms = asked.get("at_ms")
    steps = [
        answers.StepFacts.of(
            type=step.type,
            at=step.at_ms,
            step=step.step,
            held=step.held_micros,
            charged=step.charged_micros,
            total=step.total_micros,
            note=step.note,
        )
        for step in one.steps
    ]
    return answers.StoryFacts.of(
        tenant=tenant.tenant_id,
        currency=tenant.currency,
        call=one.call_id,
        state=state,
        number=str(asked.get("e164") or asked.get("number") or ""),
        cli=str(asked.get("cli") or ""),
        call_class=str(asked.get("class") or ""),
        asked_at=at_ms if isinstance(at_ms, int) and at_ms > 0 else None,
        granted_seconds=0 if stored is None else stored.granted_seconds,
        refusal=one.refusal and refusal(one.refusal),
        steps=steps,
        is_whole=one.is_whole,
    )


def history(tenant: Tenant, found: History) -> Answer:
    """A balance over some time."""
    return answers.HistoryFacts.of(
        tenant=tenant.tenant_id,
        currency=tenant.currency,
        points=[answers.PointFacts.of(at=one.at_ms, balance=one.balance, held=one.held_after) for one in found.entries],
        hours=[answers.HourFacts.of(at=at_ms, charged=micros) for at_ms, micros in found.hours],
    )


def owners(view: View) -> Answer:
    """Who owns which switch."""
    switches = sorted((lease for lease in view.leases.values() if lease.switch), key=lambda lease: lease.name)
    return answers.SwitchList.of(
        items=[
            answers.SwitchFacts.of(
                switch=lease.switch,
                owner=None if lease.is_free else lease.owner,
                heir=lease.heir or None,
                owned_since=None if lease.is_free else lease.fence,
            )
            for lease in switches
        ],
        gateways=[
            answers.GatewayFacts.of(
                gateway=one.name, calls=one.calls, is_draining=one.is_draining, hears=list(one.switches)
            )
            for one in sorted(view.members, key=lambda one: one.name)
        ],
    )


def events(tenant: str, found: Events) -> Answer:
    """A tenant's events."""
    state = found.state
    waiting = [answers.EventFacts.of(event=one.event_id, type=one.type, at=one.at_ms) for one in found.waiting]
    return answers.OutboxFacts.of(
        tenant=tenant,
        waiting=state.waiting,
        oldest_seconds=int(state.oldest_seconds),
        dead=state.dead,
        failed_attempts=state.tries,
        next_attempt_seconds=math.ceil(state.next_seconds),
        failing_since=state.failing_since_ms or None,
        disabled_since=state.disabled_since_ms or None,
        why=state.why,
        payments=found.payments and _payments(found.payments),
        events=waiting,
        dead_events=[_dead(one) for one in found.dead],
    )


def _payments(state: OutboxState) -> Answer:
    return answers.PaymentLaneFacts.of(
        waiting=state.waiting,
        oldest_seconds=int(state.oldest_seconds),
        failed_attempts=state.tries,
        next_attempt_seconds=math.ceil(state.next_seconds),
        failing_since=state.failing_since_ms or None,
        why=state.why,
    )


def _dead(one: DeadEvent) -> Answer:
    event = one.event
    return answers.DeadEventFacts.of(
        event=event.event_id, type=event.type, at=event.at_ms, given_up_at=one.dead_at_ms, why=one.why
    )


def _memo(meta: str) -> dict[str, Any]:
    try:
        found = json.loads(meta)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
