"""``callgate status`` and ``callgate drain``: which gateway owns which switch, and how it gives them away."""

import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlencode

import typer
from rich.table import Table

from gateway import borrow
from gateway.cli.common import CONFIG, AsJson, ConfigDir, fail, load_settings
from gateway.cli.errand import run
from gateway.cli.tables import right, show
from gateway.core.ownership import SWITCH, Lease, View
from gateway.settings import ConfigErrors, control_socket


def status(config: ConfigDir = CONFIG, as_json: AsJson = False) -> None:
    """Show the gateways on these books, and which of them owns which switch."""
    settings = load_settings(config)

    async def look() -> View:
        async with borrow.borrowed_ledger(settings) as ledger:
            return await ledger.lease_look()

    view = run(look())
    known = {lease.switch: lease for lease in view.leases.values() if lease.switch}
    switches = [
        known.get(name, Lease(SWITCH + name)) for name in sorted({*known, *(s.name for s in settings.switches)})
    ]
    if as_json:
        told = {"switches": [_facts(lease) for lease in switches], "gateways": [_told(asdict(m)) for m in view.members]}
        print(json.dumps(told))
        return
    table = Table("switch", "gateway", "since (UTC)", "given to")
    for lease in switches:
        owner, since = ("nobody", "") if lease.is_free else (lease.owner, _when(lease.fence))
        table.add_row(lease.switch, owner, since, lease.heir)
    show(table)
    gateways = Table("gateway", right("live calls"), "hears", "state")
    for member in sorted(view.members, key=lambda member: member.name):
        hears = ", ".join(member.switches) or "no switch"
        gateways.add_row(member.name, str(member.calls), hears, "draining" if member.is_draining else "runs")
    if view.members:
        show(gateways)
    else:
        print("No gateway runs on these books.")


def drain(
    switch: Annotated[str | None, typer.Argument(help="All of this gateway's where none is named.")] = None,
    over: Annotated[bool, typer.Option("--end", help="Have switches again.")] = False,
    config: ConfigDir = CONFIG,
    as_json: AsJson = False,
) -> None:
    """Have the gateway that runs give its switches to others, without a gap. It keeps what no other gateway hears."""
    told = _ask(config, urlencode({"switch": switch or "", "end": int(over)}))
    if as_json:
        print(json.dumps(told))
    if "problem" in told:
        fail(f"{told['problem']}; nothing was done.")
    if told["kept"]:
        fail(f"{', '.join(told['kept'])} stays here: no other gateway on these books hears it, or has taken it yet.")
    if not as_json:
        print("The gateway takes switches again." if over else "Another gateway has it all; calls go on.")


def _ask(config: Path, words: str) -> dict[str, Any]:
    from gateway.adapters.http.control import ControlError, ask_gateway  # noqa: PLC0415 - only this one pays for it

    try:
        return run(ask_gateway(control_socket(config), f"drain?{words}"))
    except (ConfigErrors, ControlError) as error:
        fail(str(error))


def _facts(lease: Lease) -> dict[str, Any]:
    since_ms = 0 if lease.is_free else lease.fence
    return {"switch": lease.switch, "owner": "" if lease.is_free else lease.owner, "since_ms": since_ms}


def _told(member: dict[str, Any]) -> dict[str, Any]:
    return {**member, "hears": sorted(name.removeprefix(SWITCH) for name in member["hears"])}


def _when(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
