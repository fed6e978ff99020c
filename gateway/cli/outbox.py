"""Commands about events: what waits for a webhook, what was given up, and what becomes of it."""

import json
import math
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import asdict
from datetime import datetime
from typing import Annotated

import typer
from rich.table import Table

from gateway import borrow
from gateway.cli.common import CONFIG, AsJson, ConfigDir, OfTenants, fail, load_settings, tenant_named
from gateway.cli.errand import run
from gateway.cli.tables import show
from gateway.core.tenant import Tenant
from gateway.ports import OutboxState
from gateway.service.desk import Desk, Events
from gateway.service.recharge import REQUESTED
from gateway.settings import Settings

outbox = typer.Typer(
    help="Events for webhooks: what waits, what was given up.", no_args_is_help=True, add_completion=False
)

MOST_SHOWN = 1000
EventIds = Annotated[list[str] | None, typer.Argument(help="Their ids, as `callgate outbox list` shows them.")]


@outbox.command("list")
def list_events(
    tenants: OfTenants = None,
    config: ConfigDir = CONFIG,
    as_json: AsJson = False,
) -> None:
    """Show events that wait for a webhook, why they do, and those that were given up: the dead letters."""
    settings = load_settings(config)
    owners = [tenant_named(settings, name) for name in tenants or sorted(settings.tenants)]

    async def read() -> list[tuple[Tenant, Events]]:
        async with borrow.borrowed_desk(settings, *owners) as desk:
            return [(owner, await desk.events(owner.tenant_id, MOST_SHOWN)) for owner in owners]

    found = run(read())
    if as_json:
        print(json.dumps([{"tenant": owner.tenant_id, **asdict(events)} for owner, events in found]))
        return
    rows = [row for owner, events in found for row in _rows(owner, events)]
    if not rows:
        print("No event waits, and none was given up.")
        return
    table = Table("tenant", "event", "type", "at", "state", "why")
    for row in rows:
        table.add_row(*row)
    show(table)


def _rows(owner: Tenant, events: Events) -> Iterator[tuple[str, ...]]:
    begun: set[int] = set()  # of the lanes: the first event of each is the one that is tried
    for event in events.waiting:
        state = events.payments if events.payments and event.type == REQUESTED else events.state
        is_first = id(state) not in begun
        begun.add(id(state))
        is_paying = state is events.payments
        how = _how(owner, state, is_paying=is_paying) if is_first else "waits for the one before"
        why = state.why if is_first else ""
        yield owner.tenant_id, event.event_id, event.type, _when(event.at_ms, owner), how, why
    for dead in events.dead:
        event, how = dead.event, f"given up {_when(dead.dead_at_ms, owner)}"
        yield owner.tenant_id, event.event_id, event.type, _when(event.at_ms, owner), how, dead.why


def _how(owner: Tenant, state: OutboxState, *, is_paying: bool) -> str:
    if not (owner.webhook_url or is_paying):
        return "has no webhook"
    if state.disabled_since_ms:
        return f"webhook disabled {_when(state.disabled_since_ms, owner)}"
    if state.tries:
        return f"{state.tries} failed, next in {math.ceil(state.next_seconds)} s"
    return "is being sent" if state.next_seconds else "is due"


@outbox.command()
def retry(tenant: str, events: EventIds = None, config: ConfigDir = CONFIG, as_json: AsJson = False) -> None:
    """Send dead letters again, all where none is named, and try the webhook at once, also one that was disabled.

    They come after what waits already, with the same webhook-id.
    """
    count = _at_desk(load_settings(config), tenant, lambda desk: desk.retry_events(tenant, events or ()))
    _check_found(tenant, events, count)
    told = f"dead letters that wait again: {count}; a running gateway tries the webhook within seconds"
    _tell(tenant, count, told, as_json=as_json)


@outbox.command()
def drop(
    tenant: str,
    events: EventIds = None,
    every: Annotated[bool, typer.Option("--all", help="All that were given up; not those that wait.")] = False,
    config: ConfigDir = CONFIG,
    as_json: AsJson = False,
) -> None:
    """Forget events for good: those named, waiting or given up, or with --all every dead letter.

    The webhook never gets them. Who is told by mail is told of them all the same.
    """
    if bool(events) == every:
        fail("Name the events, or write --all for every one that was given up.")
    settings = load_settings(config)
    count = _at_desk(settings, tenant, lambda desk: desk.drop_events(tenant, events or ()))
    _check_found(tenant, events, count)
    is_mailed = settings.mail is not None and bool(tenant_named(settings, tenant).notices.addresses)
    mailed = "; who is told by mail is told of them all the same" if is_mailed else ""
    _tell(tenant, count, f"events dropped: {count}{mailed}", as_json=as_json)


def _check_found(tenant: str, events: list[str] | None, count: int) -> None:
    if events and count < len(set(events)):
        fail(f"{count} of {len(set(events))} were found and done; see: callgate outbox list {tenant}")


def _tell(tenant: str, count: int, sentence: str, *, as_json: bool) -> None:
    print(json.dumps({"tenant": tenant, "events": count}) if as_json else f"{tenant}: {sentence}")


def _at_desk(settings: Settings, tenant: str, ask: Callable[[Desk], Awaitable[int]]) -> int:
    owner = tenant_named(settings, tenant)

    async def done() -> int:
        async with borrow.borrowed_desk(settings, owner) as desk:
            return await ask(desk)

    return run(done())


def _when(at_ms: int, owner: Tenant) -> str:
    return datetime.fromtimestamp(at_ms / 1000, owner.zone).isoformat(sep=" ", timespec="seconds")
