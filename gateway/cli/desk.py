"""Commands about restrictions and refusals: an admin's hand on a tenant, on the books themselves."""

import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from rich.table import Table

from gateway import borrow
from gateway.cli.common import CONFIG, AsJson, ConfigDir, OfTenants, fail, load_settings, tenant_named
from gateway.cli.errand import run
from gateway.cli.explain import figures
from gateway.cli.tables import show
from gateway.core.facts import Direction
from gateway.core.tenant import Tenant
from gateway.ports import Refusal, Restriction
from gateway.service.desk import Desk

T = TypeVar("T")
_FOR = re.compile(r"([1-9][0-9]{0,5})([smhd])")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def quarantine(
    tenant: str,
    cli: Annotated[str, typer.Argument(help="One caller of it; else the whole tenant.")] = "",
    why: Annotated[str, typer.Option(help="For who looks at it later, and told to the tenant.")] = "by hand",
    lasting: Annotated[
        str | None, typer.Option("--for", help="As 90s, 30m, 8h or 2d; else until it is lifted.")
    ] = None,
    config: ConfigDir = CONFIG,
    as_json: AsJson = False,
) -> None:
    """Refuse the metered calls of a tenant, or of one caller. Emergency passes.

    Without --for, live ones end with their grants, too.
    """
    seconds = None if lasting is None else _seconds(lasting)
    found = _at_desk(tenant, config, lambda desk: _restricted(desk, tenant, cli, why, seconds))
    _show_restrictions([(tenant, one) for one in found], config, as_json=as_json)


async def _restricted(desk: Desk, tenant: str, cli: str, why: str, seconds: int | None) -> list[Restriction]:
    await desk.restrict(tenant, cli, why, seconds)
    return list(await desk.restrictions(tenant))


def lift(
    tenant: str,
    target: Annotated[
        str,
        typer.Argument(help="As `callgate restrictions` shows it: tenant, cli:NUMBER or prefix:DIGITS; or a caller."),
    ] = "tenant",
    config: ConfigDir = CONFIG,
    as_json: AsJson = False,
) -> None:
    """Take back a quarantine, or what a guard has paused."""
    was_there = _at_desk(tenant, config, lambda desk: desk.lift(tenant, target))
    if as_json:
        print(json.dumps({"tenant": tenant, "target": target, "was_restricted": was_there}))
    else:
        print(f"{tenant}: {target} {'is lifted' if was_there else 'was not restricted'}")


def allow_country(
    tenant: str,
    country: Annotated[str, typer.Argument(help="By ISO 3166, such as MC; a code of no country as +881.")],
    config: ConfigDir = CONFIG,
    as_json: AsJson = False,
) -> None:
    """Let calls to a country pass that a guard holds, as none had gone there before."""
    country = country.upper()
    _at_desk(tenant, config, lambda desk: desk.allow_country(tenant, country))
    print(json.dumps({"tenant": tenant, "country": country}) if as_json else f"{tenant}: calls to {country} pass")


def restrictions(tenants: OfTenants = None, config: ConfigDir = CONFIG, as_json: AsJson = False) -> None:
    """Show who is in quarantine, and what guards have paused."""
    settings = load_settings(config)
    owners = [tenant_named(settings, name) for name in tenants or sorted(settings.tenants)]

    async def read() -> list[tuple[str, Restriction]]:
        async with borrow.borrowed_desk(settings, *owners) as desk:
            names = [owner.tenant_id for owner in owners]
            return [(name, one) for name in names for one in await desk.restrictions(name)]

    _show_restrictions(run(read()), config, as_json=as_json)


def _show_restrictions(found: list[tuple[str, Restriction]], config: Path, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps([{"tenant": tenant, **asdict(one)} for tenant, one in found]))
        return
    if not found:
        print("Nobody is restricted.")
        return
    known = load_settings(config).tenants
    table = Table("tenant", "target", "guard", "since", "until", "why")
    for tenant, one in found:
        owner = known[tenant]
        until = "lifted" if one.until_ms is None else _when(one.until_ms, owner)
        table.add_row(tenant, one.target, one.guard, _when(one.since_ms, owner), until, one.why)
    show(table)


def refusals(
    tenant: str,
    last: Annotated[int, typer.Option(min=1, max=1000, help="How many.")] = 20,
    config: ConfigDir = CONFIG,
    as_json: AsJson = False,
) -> None:
    """Show the last refused calls of a tenant, newest first, each with its reason and on what figures."""
    found = _at_desk(tenant, config, lambda desk: desk.refusals(tenant, last))
    if as_json:
        print(json.dumps([_refusal_facts(one) for one in found]))
        return
    if not found:
        print("No call was refused.")
        return
    owner = tenant_named(load_settings(config), tenant)
    table = Table("at", "direction", "number", "cli", "reason", "limit", "call")
    for one in found:
        facts = _facts(one)
        number = str(facts.get("e164") or facts.get("number", ""))
        caller = str(facts.get("cli", ""))
        direction = str(facts.get("direction", Direction.OUTBOUND))
        table.add_row(_when(one.at_ms, owner), direction, number, caller, one.reason, figures(one, owner), one.call_id)
    show(table)


def _at_desk(tenant: str, config: Path, ask: Callable[[Desk], Awaitable[T]]) -> T:
    settings = load_settings(config)
    owner = tenant_named(settings, tenant)

    async def done() -> T:
        async with borrow.borrowed_desk(settings, owner) as desk:
            return await ask(desk)

    return run(done())


def _seconds(text: str) -> int:
    match = _FOR.fullmatch(text)
    if match is None:
        fail(f"{text!a} is no time; write one such as 90s, 30m, 8h or 2d.")
    return int(match[1]) * _UNITS[match[2]]


def _refusal_facts(one: Refusal) -> dict[str, Any]:
    """In the API's words."""
    facts = {name: value for name, value in asdict(one).items() if name not in {"call_id", "meta"}}
    return {"call": one.call_id, **facts, "facts": _facts(one)}


def _facts(one: Refusal) -> dict[str, Any]:
    try:
        found = json.loads(one.meta)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _when(at_ms: int, owner: Tenant) -> str:
    return datetime.fromtimestamp(at_ms / 1000, owner.zone).isoformat(sep=" ", timespec="seconds")
