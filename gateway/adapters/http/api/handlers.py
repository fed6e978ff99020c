"""What each operation does: from what was asked to what is answered. Who may ask is decided before."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway.adapters.http.api import answers, asks, facts
from gateway.adapters.http.api.problems import ApiProblem, Wrong
from gateway.adapters.http.api.shapes import Answer
from gateway.core.access import Token
from gateway.core.recharge import Answer as RechargeAnswer
from gateway.core.recharge import Payment, read_id
from gateway.core.tenant import Tenant
from gateway.service.desk import Desk, LiveCall
from gateway.service.journal import PageOf

TENANTS_A_PAGE = 100  # walked for the calls of a page: each is a question to the ledger


@dataclass(frozen=True, slots=True)
class Visit:
    """One request that may be served: ``tenant`` where the path names one; query and body are the operation's own."""

    desk: Desk
    token: Token
    tenant: Tenant | None = None
    call_id: str = ""
    recharge: str = ""  # a recharge's id
    query: Any = None
    body: Any = None
    key: str = ""  # the Idempotency-Key
    seen: dict[str, Any] = field(default_factory=dict)  # for the audit log, beside path and body

    @property
    def owner(self) -> Tenant:
        """The tenant of the path."""
        assert self.tenant is not None, "the path of this operation names a tenant"
        return self.tenant

    @property
    def tenant_id(self) -> str:
        """Its id."""
        return self.owner.tenant_id

    @property
    def currency(self) -> str:
        """Its currency."""
        return self.owner.currency


# ------------------------------------------------------------------------------------------------------ the tenants


async def list_tenants(visit: Visit) -> Answer:
    """Tenants by id."""
    tenants, following = _tenants_page(visit)
    return answers.TenantPage.of(items=await facts.each(tenants, facts.brief), next_cursor=following)


async def show_tenant(visit: Visit) -> Answer:
    """The terms in force."""
    return facts.terms(visit.owner)


async def show_quote(visit: Visit) -> Answer:
    """What a call would cost."""
    asked: asks.QuoteQuery = visit.query
    return facts.quote(visit.desk.quote(visit.tenant_id, asked.number, asked.at_ms, asked.direction), asked.seconds)


# -------------------------------------------------------------------------------------------------------- the books


async def list_balances(visit: Visit) -> Answer:
    """The accounts of the tenants of a page."""
    tenants, following = _tenants_page(visit)
    items: list[Answer] = []
    for start in range(0, len(tenants), facts.SLICE):
        some = tenants[start : start + facts.SLICE]
        found = await asyncio.gather(*(visit.desk.balance(tenant.tenant_id) for tenant in some))
        items += map(facts.balance, found)
    return answers.BalancePage.of(items=items, next_cursor=following)


async def show_balance(visit: Visit) -> Answer:
    """One account."""
    return facts.balance(await visit.desk.balance(visit.tenant_id))


async def list_lots(visit: Visit) -> Answer:
    """What is left of top-ups."""
    return answers.LotList.of(items=await facts.each(await visit.desk.lots(visit.tenant_id), facts.lot))


async def list_journal(visit: Visit) -> Answer:
    """A page of the journal."""
    asked: asks.JournalQuery = visit.query
    n, _, entry_id = (asked.cursor or "0-").partition("-")
    wanted = PageOf(
        most=asked.limit,
        after_n=int(n),
        after_id=entry_id,
        from_ms=asked.from_ms or 0,
        before_ms=asked.before_ms,
        with_archive=asked.archive,
    )
    found = await visit.desk.journal(visit.tenant_id, wanted)
    last = found.entries[-1] if found.entries and not found.is_last else None
    following = None if last is None else f"{last.n}-{last.entry_id}"
    return answers.EntryPage.of(items=await facts.each(found.entries, facts.entry), next_cursor=following)


async def show_history(visit: Visit) -> Answer:
    """The balance over some time."""
    asked: asks.HistoryQuery = visit.query
    return facts.history(visit.owner, await visit.desk.history(visit.tenant_id, asked.from_ms, asked.points))


async def top_up(visit: Visit) -> Answer:
    """Add funds, once for a key."""
    asked: asks.TopUpBody = visit.body
    done = await visit.desk.top_up(
        visit.tenant_id,
        visit.key,
        asked.amount_micros,
        asked.source,
        currency=asked.currency,
        expires_at_ms=asked.expires_at_ms,
    )
    visit.seen["is_repeat"] = done.is_repeat
    return answers.TopUpFacts.of(
        id=visit.key,
        tenant=visit.tenant_id,
        currency=visit.currency,
        amount=asked.amount_micros,
        balance=done.balance_micros,
        is_repeat=done.is_repeat,
    )


async def reverse(visit: Visit) -> Answer:
    """Take a top-up back, once."""
    asked: asks.ReversalBody = visit.body
    done = await visit.desk.reverse(visit.tenant_id, asked.id, asked.reason)
    visit.seen["is_repeat"] = done.is_repeat
    return answers.ReversalFacts.of(
        id=asked.id,
        tenant=visit.tenant_id,
        currency=visit.currency,
        balance=done.balance_micros,
        is_repeat=done.is_repeat,
    )


async def close(visit: Visit) -> Answer:
    """Close the account."""
    return facts.balance(await visit.desk.close_account(visit.tenant_id))


async def reopen(visit: Visit) -> Answer:
    """Open it again."""
    return facts.balance(await visit.desk.reopen_account(visit.tenant_id))


# -------------------------------------------------------------------------------------------------------- the calls


async def list_calls(visit: Visit) -> Answer:
    """Calls of all tenants that the token sees, by tenant and id."""
    last, is_within, last_call = (visit.query.cursor or "").partition("/")  # without a call: after all of the tenant's
    seen = (tenant.tenant_id for tenant in _seen(visit))
    tenants = [name for name in seen if name > last or (is_within and name == last)]
    found: list[LiveCall] = []
    following = tenants[TENANTS_A_PAGE - 1] if len(tenants) > TENANTS_A_PAGE else None
    for name in tenants[:TENANTS_A_PAGE]:
        room = visit.query.limit - len(found)
        found += await visit.desk.calls(name, last_call if name == last else "", room + 1)
        if len(found) > visit.query.limit:
            found.pop()
            following = _place(found[-1])
            break
    return answers.CallPage.of(items=await facts.each(found, facts.call), next_cursor=following)


async def list_calls_of_tenant(visit: Visit) -> Answer:
    """One tenant's calls, by id."""
    last_call = (visit.query.cursor or "").partition("/")[2]
    found = await visit.desk.calls(visit.tenant_id, last_call, visit.query.limit + 1)
    items = found[: visit.query.limit]
    following = _place(items[-1]) if len(found) > len(items) else None
    return answers.CallPage.of(items=await facts.each(items, facts.call), next_cursor=following)


async def show_call(visit: Visit) -> Answer:
    """A call's whole story."""
    return facts.story(visit.owner, await visit.desk.story(visit.tenant_id, visit.call_id))


async def cut(visit: Visit) -> Answer:
    """End a call of a tenant that the token sees; another's is not there."""
    await visit.desk.check_is_here(visit.call_id)
    payer = visit.desk.payer_of(visit.call_id)
    if payer is None or not visit.token.sees(payer):
        raise ApiProblem("unknown_call", "No such call runs at this gateway.")
    visit.seen["tenant"] = payer
    await visit.desk.cut(visit.call_id)
    return answers.CutFacts.of(tenant=payer, call=visit.call_id)


# ---------------------------------------------------------------------------------------------------- the recharges


async def show_recharge(visit: Visit) -> Answer:
    """The rule, and the last recharge."""
    return facts.recharge(visit.owner, await visit.desk.recharges.status(visit.tenant_id))


async def set_recharge(visit: Visit) -> Answer:
    """Change the rule over the config's, or go back to that."""
    asked: asks.RechargeBody = visit.body
    changes = {name: getattr(asked, name) for name in asked.model_fields_set - {"as_config"}}
    if asked.as_config:
        await visit.desk.recharges.as_config(visit.tenant_id)
    else:
        await visit.desk.recharges.change(visit.tenant_id, changes)
    return await show_recharge(visit)


async def request_recharge(visit: Visit) -> Answer:
    """Ask for one now."""
    return facts.recharged(visit.owner, await visit.desk.recharges.ask(visit.tenant_id, is_retry=False))


async def retry_recharge(visit: Visit) -> Answer:
    """Let the trigger ask again."""
    return facts.recharged(visit.owner, await visit.desk.recharges.ask(visit.tenant_id, is_retry=True))


async def recharge_succeeded(visit: Visit) -> Answer:
    """It was paid."""
    return await _answered(visit, Payment.SUCCEEDED)


async def recharge_failed(visit: Visit) -> Answer:
    """It was not."""
    return await _answered(visit, Payment.FAILED)


async def recharge_pending(visit: Visit) -> Answer:
    """It takes time."""
    return await _answered(visit, Payment.PENDING)


async def _answered(visit: Visit, outcome: Payment) -> Answer:
    """Another tenant's recharge is not there."""
    found = read_id(visit.recharge)
    if found is None or not visit.token.sees(found[0]):
        raise ApiProblem("unknown_recharge", "No recharge with this id was requested.")
    visit.seen["tenant"] = found[0]
    asked: asks.RechargeAnswerBody = visit.body
    done = await visit.desk.recharges.answer(visit.recharge, RechargeAnswer(outcome, asked.reason or "api"))
    visit.seen["is_repeat"] = done.is_repeat
    return facts.recharged(visit.desk.tenant(found[0]), done)


# ----------------------------------------------------------------------------------------- restrictions, refusals


async def list_restrictions(visit: Visit) -> Answer:
    """What is restricted or paused now."""
    found = await visit.desk.restrictions(visit.tenant_id)
    return answers.RestrictionList.of(items=await facts.each(found, facts.restriction))


async def restrict(visit: Visit) -> Answer:
    """Quarantine a tenant or a CLI; what is in force is answered."""
    asked: asks.RestrictionBody = visit.body
    await visit.desk.restrict(visit.tenant_id, asked.cli, asked.why, asked.seconds)
    return await list_restrictions(visit)


async def lift(visit: Visit) -> Answer:
    """Take back a restriction or a pause."""
    asked: asks.LiftQuery = visit.query
    was_restricted = await visit.desk.lift(visit.tenant_id, asked.target)
    return answers.LiftFacts.of(tenant=visit.tenant_id, target=asked.target, was_restricted=was_restricted)


async def allow_country(visit: Visit) -> Answer:
    """Let first calls to a country pass."""
    asked: asks.CountryBody = visit.body
    await visit.desk.allow_country(visit.tenant_id, asked.country)
    return answers.CountryFacts.of(tenant=visit.tenant_id, country=asked.country)


async def list_refusals(visit: Visit) -> Answer:
    """The last refused calls."""
    found = await visit.desk.refusals(visit.tenant_id, visit.query.limit)
    return answers.RefusalList.of(items=await facts.each(found, facts.refusal))


async def show_outbox(visit: Visit) -> Answer:
    """What waits for the tenant's webhook, and what was given up."""
    return facts.events(visit.tenant_id, await visit.desk.events(visit.tenant_id, visit.query.limit))


# ---------------------------------------------------------------------------------------- the gateways, the config


async def list_switches(visit: Visit) -> Answer:
    """Who owns what."""
    return facts.owners(await visit.desk.owners())


async def reload(visit: Visit) -> Answer:
    """Read the config again."""
    done = await visit.desk.reload()
    if not done.is_taken:
        wrong = [Wrong(at="config", what=problem) for problem in done.problems]
        raise ApiProblem("config_refused", "Nothing was changed; `callgate check` says it again.", wrong)
    return answers.ReloadFacts.of(warnings=list(done.warnings))


# ----------------------------------------------------------------------------------------------------- small shapes


def _seen(visit: Visit) -> list[Tenant]:
    return [tenant for tenant in visit.desk.tenants() if visit.token.sees(tenant.tenant_id)]


def _tenants_page(visit: Visit) -> tuple[Sequence[Tenant], str | None]:
    rest = [tenant for tenant in _seen(visit) if tenant.tenant_id > (visit.query.cursor or "")]
    some = rest[: visit.query.limit]
    return some, some[-1].tenant_id if len(rest) > len(some) else None


def _place(call: LiveCall) -> str:
    return f"{call.stored.key.tenant}/{call.stored.key.call_id}"
