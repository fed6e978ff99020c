"""The command line: what an admin types. It prints for people, or JSON with ``--json``; errors go to standard error.

Exit codes: 0 done, 1 the thing asked for could not be done (one sentence says why), 2 the command was mistyped. Of
``doctor``, 1 is a warning and 2 an error.
"""

import json
from collections.abc import Callable
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.table import Table

from gateway import borrow
from gateway.cli import api, audit, desk, explain, journal, mail, money, outbox, prices, recharge, reconcile, replay
from gateway.cli import config as configs
from gateway.cli import doctor as doctors
from gateway.cli import init as inits
from gateway.cli import reload as reloads
from gateway.cli import serve as serves
from gateway.cli import status as statuses
from gateway.cli.common import CONFIG, AsJson, ConfigDir, OfTenants, load_settings, run, tenant_named
from gateway.cli.tables import right, show
from gateway.core.facts import Direction
from gateway.ports import StoredCall
from rating import format_amount

app = typer.Typer(
    name="callgate",
    help="Prepaid call authorization for Asterisk: money is held before the ring.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

_PANELS: Final[dict[str, tuple[Callable[..., None], ...]]] = {
    "Money": (
        money.topup,
        money.reverse,
        money.balance,
        journal.lots,
        journal.journal,
        money.close,
        money.reopen,
        audit.audit,
        reconcile.reconcile,
    ),
    "Calls and fraud": (
        explain.explain,
        desk.refusals,
        desk.quarantine,
        desk.lift,
        desk.restrictions,
        desk.allow_country,
        api.cut,
    ),
    "Prices": (prices.quote, prices.rates, replay.replay),
    "Config": (inits.init, configs.check, reloads.diff, reloads.reload, configs.schema),
    "The gateway": (serves.serve, statuses.status, statuses.drain, doctors.doctor, mail.mail_test),
}
for panel, commands in _PANELS.items():
    for command in commands:
        app.command(rich_help_panel=panel)(command)
app.add_typer(configs.shows, name="show", rich_help_panel="Config")
app.add_typer(recharge.recharges, name="recharge", rich_help_panel="Money")
app.add_typer(outbox.outbox, name="outbox", rich_help_panel="The gateway")
app.add_typer(api.tokens, name="token", rich_help_panel="The gateway")


def _version(is_asked: bool) -> None:
    if is_asked:
        print(f"callgate {metadata.version('callgate')}")
        raise typer.Exit


def main() -> None:
    """Run the command line."""
    app()


@app.callback()
def about_all(
    _version_asked: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Prepaid call authorization for Asterisk: money is held before the ring."""


# ------------------------------------------------------------------------------------------------------ the gateway


@app.command(rich_help_panel="The gateway")
def demo(
    seconds: Annotated[float | None, typer.Option("--for", help="Stop after that many seconds.", min=1)] = None,
    seed: Annotated[int, typer.Option(help="The same seed makes the same calls.")] = 1,
    data_dir: Annotated[Path | None, typer.Option(help="Keep the demo's books here (default: a fresh folder).")] = None,
    metrics_port: Annotated[int, typer.Option(help="Port of /metrics; 0: one that is free.", min=0, max=65535)] = 0,
) -> None:
    """Watch the gate at work: a simulated PBX, a dozen tenants, an embedded ledger. Proves the books at the end."""
    from gateway.demo.run import run_demo  # noqa: PLC0415 - only this command pays for it

    raise typer.Exit(run(run_demo(seconds, seed, data_dir, metrics_port)))


# ------------------------------------------------------------------------------------------------------- the ledger


@app.command(rich_help_panel="Calls and fraud")
def calls(tenants: OfTenants = None, config: ConfigDir = CONFIG, as_json: AsJson = False) -> None:
    """Show the calls whose books are open: what each holds and was granted."""
    settings = load_settings(config)
    names = [tenant_named(settings, name).tenant_id for name in tenants or sorted(settings.tenants)]

    async def read() -> list[StoredCall]:
        async with borrow.borrowed_ledger(settings) as ledger:
            return [call for tenant in names for call in await ledger.live_calls(tenant)]

    rows = run(read())
    if as_json:
        print(json.dumps([{**asdict(row), "meta": json.loads(row.meta)} for row in rows]))
        return
    if not rows:
        print("No call is live.")
        return
    table = Table(
        "tenant", "call", "state", "direction", "number", *[right(name) for name in ("granted", "charged", "held")]
    )
    for row in rows:
        memo = json.loads(row.meta)
        table.add_row(
            row.key.tenant,
            row.key.call_id,
            row.state,
            memo.get("direction", Direction.OUTBOUND),
            memo.get("e164", ""),
            f"{row.granted_seconds} s",
            format_amount(row.charged_micros),
            format_amount(row.held_micros),
        )
    show(table)
