"""``callgate journal`` and ``callgate lots``: each movement of a tenant's money, and what is left of each top-up."""

import json
from collections import deque
from dataclasses import asdict
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from gateway import borrow
from gateway.adapters.archive import read_archive
from gateway.cli.common import CONFIG, AsJson, ConfigDir, fail, journal_folder, load_settings, tenant_named
from gateway.cli.errand import run
from gateway.cli.tables import right, show
from gateway.core.journal import ACCOUNTS, Entry
from gateway.core.tenant import Tenant
from gateway.ports import Lot
from gateway.service.journal import whole_journal
from gateway.settings import Settings
from rating import format_amount


def journal(
    tenant: str,
    last: Annotated[int, typer.Option(min=1, max=1_000_000, help="How many entries, of the newest.")] = 50,
    since: Annotated[str | None, typer.Option(help="No older ones, as 2026-11-23 or 2026-11-23T08:00.")] = None,
    folder: Annotated[
        Path | None, typer.Option("--journal", help="The archive's folder, where it is not that of the config.")
    ] = None,
    config: ConfigDir = CONFIG,
    as_json: AsJson = False,
) -> None:
    """Show the newest movements of a tenant's money, of the archive and of Redis, oldest first."""
    settings = load_settings(config)
    owner = tenant_named(settings, tenant)
    since_ms = 0 if since is None else _instant_ms(since, owner)
    entries = run(_newest(settings, tenant, journal_folder(settings, folder), last, since_ms))
    if as_json:
        print(json.dumps([asdict(entry) for entry in entries]))
    elif not entries:
        print("There are no such entries.")
    else:
        show(_movements(entries, owner))


async def _newest(settings: Settings, tenant: str, folder: Path, most: int, since_ms: int) -> list[Entry]:
    newest: deque[Entry] = deque(maxlen=most)
    async with borrow.borrowed_ledger(settings) as ledger:
        _, last = await ledger.books(tenant)
        async for entry in whole_journal(ledger, tenant, partial(read_archive, folder / tenant), last):
            if entry.at_ms >= since_ms:
                newest.append(entry)
    return list(newest)


def _movements(entries: list[Entry], owner: Tenant) -> Table:
    table = Table(right("n"), "time", "type", *map(right, ACCOUNTS), right("balance"), "call or top-up", "note")
    for entry in entries:
        deltas = [format_amount(micros) if micros else "" for micros in entry.deltas]
        note = "" if entry.type == "reserve" else entry.note  # there it is JSON: callgate explain reads it
        when = _when(entry.at_ms, owner)
        table.add_row(str(entry.n), when, entry.type, *deltas, format_amount(entry.balance), entry.call, note)
    return table


def lots(tenant: str, config: ConfigDir = CONFIG, as_json: AsJson = False) -> None:
    """Show what is left of each top-up and when it expires, the soonest first."""
    settings = load_settings(config)
    owner = tenant_named(settings, tenant)

    async def read() -> list[Lot]:
        async with borrow.borrowed_desk(settings, owner) as desk:
            return list(await desk.lots(tenant))

    found = run(read())
    if as_json:
        print(json.dumps([asdict(lot) for lot in found]))
        return
    if not found:
        print("There are no funds.")
        return
    table = Table(right("lot"), right("free"), right("held"), "expires")
    for lot in found:
        expires = "never" if lot.expires_at_ms is None else _when(lot.expires_at_ms, owner)
        table.add_row(str(lot.number), format_amount(lot.free_micros), format_amount(lot.held_micros), expires)
    show(table)


def _instant_ms(text: str, owner: Tenant) -> int:
    try:
        instant = datetime.fromisoformat(text)
        aware = instant if instant.tzinfo else instant.replace(tzinfo=owner.zone)
        return round(aware.timestamp() * 1000)
    except (ValueError, OverflowError, OSError):
        fail(f"{text!a} is no time; write one as 2026-11-23 or 2026-11-23T08:00.")


def _when(at_ms: int, owner: Tenant) -> str:
    return datetime.fromtimestamp(at_ms / 1000, owner.zone).isoformat(sep=" ", timespec="seconds")
