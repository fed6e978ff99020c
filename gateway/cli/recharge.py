"""Commands about recharges: their rule, where the last one is, and what a person does about it."""

import json
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from rich.table import Table

from gateway import borrow
from gateway.cli.common import CONFIG, AsJson, ConfigDir, fail, load_settings, tenant_named
from gateway.cli.errand import run
from gateway.cli.tables import show
from gateway.core.forecast import MOST_MINUTES, Forecast
from gateway.core.recharge import Answer, Mode, Payment, RechargeRule, read_id, readable, recharge_id
from gateway.core.tenant import Tenant
from gateway.ports import Recharged, RechargeStatus
from gateway.service.recharge import Recharges
from rating import AmountError, format_amount, parse_amount

T = TypeVar("T")
SOURCE = "command line"
NO_BOUND = "none"

recharges = typer.Typer(
    help="Recharges: the rule, where the last one is, and what to do about it.",
    no_args_is_help=True,
    add_completion=False,
)


@recharges.callback()
def about_recharges() -> None:
    """Recharges: the rule, where the last one is, and what to do about it."""


@recharges.command("show")
def show_status(tenant: str, config: ConfigDir = CONFIG, as_json: AsJson = False) -> None:
    """Show a tenant's rule in force, and where its last recharge is."""
    owner, status = _at(tenant, config, lambda desk: desk.status(tenant))
    _print_status(owner, status, as_json=as_json)


@recharges.command()
def request(tenant: str, config: ConfigDir = CONFIG, as_json: AsJson = False) -> None:
    """Ask the payment system for a recharge now, whatever is left."""
    owner, done = _at(tenant, config, lambda desk: desk.ask(tenant, is_retry=False))
    _print_done(owner, done, as_json=as_json)


@recharges.command()
def retry(tenant: str, config: ConfigDir = CONFIG, as_json: AsJson = False) -> None:
    """After failures, also the last one allowed: let the trigger ask again, at once where the account is below it."""
    owner, done = _at(tenant, config, lambda desk: desk.ask(tenant, is_retry=True))
    _print_done(owner, done, as_json=as_json)


@recharges.command()
def answer(
    recharge: Annotated[str, typer.Argument(help="Its id, as `callgate recharge show` and its event have it.")],
    outcome: Annotated[Payment, typer.Argument(help="What became of it: of succeeded, the funds are booked, once.")],
    reason: Annotated[str, typer.Option(help="Why, for the journal.")] = SOURCE,
    config: ConfigDir = CONFIG,
    as_json: AsJson = False,
) -> None:
    """Say what became of a recharge, in the payment system's place."""
    found = read_id(recharge)
    if found is None:
        fail(f"{recharge!a} is no recharge's id; write one such as {recharge_id('acme', 1)}.")
    told = Answer(outcome, readable(reason))
    owner, done = _at(found[0], config, lambda desk: desk.answer(recharge, told))
    _print_done(owner, done, as_json=as_json)


@recharges.command("set")
def set_rule(
    tenant: str,
    mode: Annotated[Mode | None, typer.Option(help="For how much a recharge is.")] = None,
    trigger: Annotated[str | None, typer.Option(help="The amount under which it is asked for.")] = None,
    amount: Annotated[str | None, typer.Option(help="What it means is the mode's.")] = None,
    recharges_per_day: Annotated[int | None, typer.Option(min=1, max=100, help="In any 24 hours.")] = None,
    amount_per_day: Annotated[str | None, typer.Option(help="In any 24 hours; none: no bound.")] = None,
    retry_seconds: Annotated[int | None, typer.Option(min=1, max=86_400, help="Quiet after a failure.")] = None,
    give_up_after: Annotated[int | None, typer.Option(min=1, max=100, help="Failures in a row.")] = None,
    timeout_seconds: Annotated[int | None, typer.Option(min=1, max=86_400, help="To wait for an answer.")] = None,
    forecast_minutes: Annotated[
        int | None, typer.Option(min=0, max=MOST_MINUTES, help="Ask, too, when zero is so near; 0: do not look.")
    ] = None,
    as_config: Annotated[bool, typer.Option("--as-config", help="The rule of the tenant's file again.")] = False,
    config: ConfigDir = CONFIG,
    as_json: AsJson = False,
) -> None:
    """Change a tenant's rule, at once. It stays, over a restart too, until its file has another one."""
    given: dict[str, Any] = {
        "mode": mode,
        "trigger_micros": _amount(trigger),
        "amount_micros": _amount(amount),
        "recharges_a_day": recharges_per_day,
        "micros_a_day": None if amount_per_day == NO_BOUND else _amount(amount_per_day),
        "retry_seconds": retry_seconds,
        "give_up_after": give_up_after,
        "timeout_seconds": timeout_seconds,
        "forecast_minutes": forecast_minutes,
    }
    changes = {name: value for name, value in given.items() if value is not None}
    changes |= {"micros_a_day": None} if amount_per_day == NO_BOUND else {}
    if bool(changes) == as_config:
        fail("Say what changes, such as --amount 50.00, or --as-config alone.")

    async def change(desk: Recharges) -> RechargeStatus:
        await (desk.as_config(tenant) if as_config else desk.change(tenant, changes))
        return await desk.status(tenant)

    owner, status = _at(tenant, config, change)
    _print_status(owner, status, as_json=as_json)


# ---------------------------------------------------------------------------------------------------- small shapes


def _at(tenant: str, config: Path, ask: Callable[[Recharges], Awaitable[T]]) -> tuple[Tenant, T]:
    settings = load_settings(config)
    owner = tenant_named(settings, tenant)

    async def done() -> T:
        async with borrow.borrowed_desk(settings, owner) as desk:
            return await ask(desk.recharges)

    return owner, run(done())


def _amount(text: str | None) -> int | None:
    try:
        return None if text is None else parse_amount(text)
    except AmountError as error:
        fail(str(error))


def _print_done(owner: Tenant, done: Recharged, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"tenant": owner.tenant_id, **asdict(done)}))
        return
    was = " (it was so before)" if done.is_repeat else ""
    print(f"{owner.tenant_id}: {done.state}{was}; balance {format_amount(done.balance_micros, owner.currency)}")


def _print_status(owner: Tenant, status: RechargeStatus, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"tenant": owner.tenant_id, "currency": owner.currency, **asdict(status)}))
        return
    table = Table("of", owner.tenant_id)
    for name, text in _rows(owner, status):
        table.add_row(name, text)
    show(table)


def _rows(owner: Tenant, status: RechargeStatus) -> list[tuple[str, str]]:
    rows = [("state", status.state + (f" ({status.reason})" if status.reason else ""))]
    if status.number:
        last = recharge_id(owner.tenant_id, status.number)
        rows.append(("last recharge", f"{last} of {format_amount(status.amount_micros, owner.currency)}"))
    if status.requested_at_ms is not None:
        rows.append(("requested", _when(status.requested_at_ms, owner)))
    if status.until_ms is not None:
        rows.append(("until", _when(status.until_ms, owner)))
    rows.append(("failures in a row", str(status.failures)))
    rows.append(("forecast", _zero_at(status.forecast, owner)))
    return [*rows, *_rule_rows(owner, status.rule), ("rule from", "by hand" if status.is_by_hand else "config")]


def _rule_rows(owner: Tenant, rule: RechargeRule | None) -> list[tuple[str, str]]:
    if rule is None:
        return [("rule", "no recharge")]
    amounts = [("trigger", rule.trigger_micros), ("amount", rule.amount_micros), ("amount_per_day", rule.micros_a_day)]
    return [
        ("mode", str(rule.mode)),
        *((name, format_amount(micros, owner.currency)) for name, micros in amounts if micros),
        ("recharges_per_day", str(rule.recharges_a_day)),
        ("retry_seconds", str(rule.retry_seconds)),
        ("give_up_after", str(rule.give_up_after)),
        ("timeout_seconds", str(rule.timeout_seconds)),
        ("forecast_minutes", str(rule.forecast_minutes or "off")),
    ]


def _zero_at(found: Forecast | None, owner: Tenant) -> str:
    if found is None:
        return "nothing is spent"
    rate = format_amount(found.micros_a_minute, owner.currency)
    return f"nothing is available in {found.seconds_to_zero // 60} minutes, at {rate} a minute"


def _when(at_ms: int, owner: Tenant) -> str:
    return datetime.fromtimestamp(at_ms / 1000, owner.zone).isoformat(sep=" ", timespec="seconds")
