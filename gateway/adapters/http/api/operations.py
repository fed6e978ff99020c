"""All operations in one table: path, role, what is asked, what is answered, what can go wrong.

The server serves it, the OpenAPI document is made of it, and the tests walk it: what is not here does not exist.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from gateway.adapters.http.api import answers, asks, handlers
from gateway.adapters.http.api.handlers import Visit
from gateway.adapters.http.api.shapes import Answer
from gateway.core.access import Role

TENANT: Final = "/v1/tenants/{tenant}"
CALL: Final = "/v1/calls/{switch}/{uniqueid}/{nonce}"  # a call's id is these three
RECHARGE: Final = "/v1/recharges/{recharge}"
READ: Final = "GET"


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path. ``is_global``: it concerns all tenants, and a token of some may not do it."""

    name: str
    method: str
    path: str
    role: Role
    summary: str
    handler: Callable[[Visit], Awaitable[Answer]]
    answer: type[Answer]
    problems: tuple[str, ...] = ()  # beyond those that follow from the rest
    query: type[asks.Ask] = asks.Nothing
    body: type[asks.Ask] | None = None
    has_key: bool = False
    is_global: bool = False

    @property
    def is_change(self) -> bool:
        """Whether it changes anything: then it is in the audit log."""
        return self.method != READ

    @property
    def is_of_tenant(self) -> bool:
        """Whether its path names a tenant."""
        return "{tenant}" in self.path


_BOOKS: Final = ("ledger_unavailable", "unknown_account")
_ANSWERED: Final = (*_BOOKS, "unknown_recharge", "bad_state", "bad_amount", "too_old", "account_closed")
_LIMITS: Final = ("ledger_unavailable", "unknown_account", "bad_amount", "bad_state", "not_available")
_read, _operate, _bill = Role.READ, Role.OPERATE, Role.BILL

OPERATIONS: Final = (
    Operation(
        "list_tenants", READ, "/v1/tenants", _read, "Tenants of the config in force, by id",
        handlers.list_tenants, answers.TenantPage, query=asks.PageQuery,
    ),
    Operation(
        "show_tenant", READ, TENANT, _read, "A tenant's terms in force",
        handlers.show_tenant, answers.TenantTerms,
    ),
    Operation(
        "list_balances", READ, "/v1/balances", _read, "Accounts, by tenant",
        handlers.list_balances, answers.BalancePage, _BOOKS, query=asks.PageQuery,
    ),
    Operation(
        "show_balance", READ, f"{TENANT}/balance", _read, "A tenant's account",
        handlers.show_balance, answers.BalanceFacts, _BOOKS,
    ),
    Operation(
        "list_lots", READ, f"{TENANT}/lots", _read, "What is left of top-ups, the soonest to expire first",
        handlers.list_lots, answers.LotList, _BOOKS,
    ),
    Operation(
        "list_journal", READ, f"{TENANT}/journal", _read, "Every movement of money, the oldest first",
        handlers.list_journal, answers.EntryPage, (*_BOOKS, "archive_unavailable"), query=asks.JournalQuery,
    ),
    Operation(
        "show_history", READ, f"{TENANT}/history", _read, "The balance over the last hours or days, for a plot",
        handlers.show_history, answers.HistoryFacts, (*_BOOKS, "archive_unavailable"), query=asks.HistoryQuery,
    ),
    Operation(
        "top_up", "POST", f"{TENANT}/topups", _bill, "Add funds, once for an Idempotency-Key",
        handlers.top_up, answers.TopUpFacts,
        (*_BOOKS, "account_closed", "bad_amount", "bad_id", "id_reused", "too_old", "wrong_currency"),
        body=asks.TopUpBody, has_key=True,
    ),
    Operation(
        "reverse_top_up", "POST", f"{TENANT}/reversals", _bill, "Take a top-up back, once (a chargeback)",
        handlers.reverse, answers.ReversalFacts, (*_BOOKS, "unknown_topup", "too_old"), body=asks.ReversalBody,
    ),
    Operation(
        "close_account", "POST", f"{TENANT}/close", _operate, "No new calls, no top-ups; not while calls are live",
        handlers.close, answers.BalanceFacts, (*_BOOKS, "bad_state"),
    ),
    Operation(
        "reopen_account", "POST", f"{TENANT}/reopen", _operate, "Open a closed account again",
        handlers.reopen, answers.BalanceFacts, _BOOKS,
    ),
    Operation(
        "show_recharge", READ, f"{TENANT}/recharge", _read, "The rule of recharges, and where the last one is",
        handlers.show_recharge, answers.RechargeFacts, _BOOKS,
    ),
    Operation(
        "set_recharge", "PATCH", f"{TENANT}/recharge", _bill, "Change the rule of recharges, over the config's",
        handlers.set_recharge, answers.RechargeFacts, (*_BOOKS, "bad_recharge"), body=asks.RechargeBody,
    ),
    Operation(
        "request_recharge", "POST", f"{TENANT}/recharge/request", _bill, "Ask for a recharge now",
        handlers.request_recharge, answers.RechargedFacts, (*_BOOKS, "bad_state", "account_closed"),
    ),
    Operation(
        "retry_recharge", "POST", f"{TENANT}/recharge/retry", _bill, "After failures, let the trigger ask again",
        handlers.retry_recharge, answers.RechargedFacts, (*_BOOKS, "bad_state", "account_closed"),
    ),
    Operation(
        "recharge_succeeded", "POST", f"{RECHARGE}/succeeded", _bill, "A recharge was paid: its funds are booked, once",
        handlers.recharge_succeeded, answers.RechargedFacts, _ANSWERED, body=asks.RechargeAnswerBody,
    ),
    Operation(
        "recharge_failed", "POST", f"{RECHARGE}/failed", _bill, "A recharge was not paid",
        handlers.recharge_failed, answers.RechargedFacts, _ANSWERED, body=asks.RechargeAnswerBody,
    ),
    Operation(
        "recharge_pending", "POST", f"{RECHARGE}/pending", _bill, "A recharge is being paid: wait on for an answer",
        handlers.recharge_pending, answers.RechargedFacts, _ANSWERED, body=asks.RechargeAnswerBody,
    ),
    Operation(
        "list_calls", READ, "/v1/calls", _read, "Calls whose books are open, by tenant and id",
        handlers.list_calls, answers.CallPage, _BOOKS, query=asks.CallsQuery,
    ),
    Operation(
        "list_calls_of_tenant", READ, f"{TENANT}/calls", _read, "A tenant's calls whose books are open, by id",
        handlers.list_calls_of_tenant, answers.CallPage, _BOOKS, query=asks.CallsQuery,
    ),
    Operation(
        "show_call", READ, f"{TENANT}/calls/{{switch}}/{{uniqueid}}/{{nonce}}", _read,
        "A call's whole story: each step of the books for it",
        handlers.show_call, answers.StoryFacts, (*_BOOKS, "unknown_call", "archive_unavailable"),
    ),
    Operation(
        "cut_call", "POST", f"{CALL}/cut", _operate, "End a call that runs at this gateway",
        handlers.cut, answers.CutFacts,
        ("unknown_call", "call_ended", "other_gateway", "switch_unavailable", "ledger_unavailable", "not_available"),
    ),
    Operation(
        "list_restrictions", READ, f"{TENANT}/restrictions", _read, "Quarantines and pauses in force",
        handlers.list_restrictions, answers.RestrictionList, _LIMITS,
    ),
    Operation(
        "restrict", "POST", f"{TENANT}/restrictions", _operate,
        "Quarantine a tenant, or one CLI of it; with `seconds` its live calls go on",
        handlers.restrict, answers.RestrictionList, _LIMITS, body=asks.RestrictionBody,
    ),
    Operation(
        "lift_restriction", "DELETE", f"{TENANT}/restrictions", _operate, "Take back a quarantine or a pause",
        handlers.lift, answers.LiftFacts, _LIMITS, query=asks.LiftQuery,
    ),
    Operation(
        "allow_country", "POST", f"{TENANT}/countries", _operate, "Let first calls to a country pass",
        handlers.allow_country, answers.CountryFacts, (*_LIMITS, "unknown_country"), body=asks.CountryBody,
    ),
    Operation(
        "list_refusals", READ, f"{TENANT}/refusals", _read, "The last refused calls, newest first",
        handlers.list_refusals, answers.RefusalList, _LIMITS, query=asks.RefusalQuery,
    ),
    Operation(
        "show_outbox", READ, f"{TENANT}/outbox", _read, "Events that wait for the webhook, or were given up",
        handlers.show_outbox, answers.OutboxFacts, ("ledger_unavailable", "not_available"), query=asks.OutboxQuery,
    ),
    Operation(
        "quote", READ, f"{TENANT}/quote", _read, "What a call would cost, and how that comes about",
        handlers.show_quote, answers.QuoteFacts, ("bad_amount",), query=asks.QuoteQuery,
    ),
    Operation(
        "list_switches", READ, "/v1/switches", _read, "Which gateway owns which switch",
        handlers.list_switches, answers.SwitchList, ("ledger_unavailable", "not_available"), is_global=True,
    ),
    Operation(
        "reload", "POST", "/v1/reload", _operate, "Put the config's files in force, whole or not at all",
        handlers.reload, answers.ReloadFacts, ("config_refused", "not_available"), is_global=True,
    ),
)  # fmt: skip


def problems_of(operation: Operation) -> tuple[str, ...]:
    """The codes of all that can go wrong with an operation."""
    found = {"unauthorized", "bad_request", "invalid", "rate_limited", "internal", "timeout", *operation.problems}
    if operation.is_of_tenant:
        found.add("unknown_tenant")
    if operation.role is not Role.READ or operation.is_global:
        found.add("forbidden")
    found |= {"bad_json", "too_large", "unsupported_media_type"}
    return tuple(sorted(found))
