"""The command line: what an admin types. It prints for people, or JSON with ``--json``; errors go to standard error.

Exit codes: 0 done, 1 the thing asked for could not be done (one sentence says why), 2 the command was mistyped.
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Annotated, Final

import structlog
import typer
from rich.table import Table

from gateway import borrow, logs
from gateway.cli import api, audit, desk, explain, journal, mail, money, outbox, prices, recharge, reconcile
from gateway.cli import config as configs
from gateway.cli import doctor as doctors
from gateway.cli import reload as reloads
from gateway.cli import status as statuses
from gateway.cli.common import CONFIG, AsJson, ConfigDir, OfTenants, load_settings, run, tenant_named
from gateway.cli.tables import right, show
from gateway.core.facts import Direction
from gateway.ports import StoredCall
from gateway.settings import Settings
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
    "Prices": (prices.quote, prices.rates),
    "Config": (configs.check, reloads.diff, reloads.reload, configs.schema),
    "The gateway": (statuses.status, statuses.drain, doctors.doctor, mail.mail_test),
}
for panel, commands in _PANELS.items():
    for command in commands:
        app.command(rich_help_panel=panel)(command)
app.add_typer(configs.shows, name="show", rich_help_panel="Config")
app.add_typer(recharge.recharges, name="recharge", rich_help_panel="Money")
app.add_typer(outbox.outbox, name="outbox", rich_help_panel="The gateway")
app.add_typer(api.tokens, name="token", rich_help_panel="The gateway")
log = structlog.get_logger(__name__)


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
def serve(config: ConfigDir = CONFIG) -> None:
    """Gate calls until stopped (SIGTERM, SIGINT); SIGHUP reloads. A stop settles nothing: the PBX keeps its caps."""
    settings = load_settings(config)
    logs.configure(settings.log_level)
    for warning in settings.warnings:
        log.warning("config.warning", problem=str(warning))
    run(_serve(settings))


async def _serve(settings: Settings) -> None:
    from gateway import bootstrap  # noqa: PLC0415 - only this command pays for it
    from gateway.adapters.systemd import Supervisor  # noqa: PLC0415

    signals, supervisor = _Signals(), Supervisor()
    async with bootstrap.Gateway(settings) as gateway, supervisor.kept_alive():
        log.info(
            "gateway.started",
            tenants=len(settings.tenants),
            switches=[switch.name for switch in settings.switches],
            http=f"http://{settings.http.host}:{gateway.http.port}",
        )
        supervisor.ready(_status(settings))
        while await signals.is_reload():
            supervisor.reloading()
            await gateway.reload()
            supervisor.ready(_status(gateway.settings))
        supervisor.stopping()
    log.info("gateway.stopped")


def _status(settings: Settings) -> str:
    return f"gates {len(settings.switches)} switches for {len(settings.tenants)} tenants"


class _Signals:
    """What this process is told. A signal that comes before it is asked for is kept."""

    def __init__(self) -> None:
        self._stop = asyncio.Event()
        self._any = asyncio.Event()
        self._had_terminal = sys.stderr.isatty()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopped)
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as nohup has it
            loop.add_signal_handler(signal.SIGHUP, self._hung_up)

    async def is_reload(self) -> bool:
        """Wait for a signal; whether it is one to reload, and not to stop."""
        await self._any.wait()
        self._any.clear()
        return not self._stop.is_set()

    def _stopped(self) -> None:
        self._stop.set()
        self._any.set()

    def _hung_up(self) -> None:
        """A terminal that goes sends it too: who started this by hand on one wants it to stop with it."""
        if self._had_terminal and not os.isatty(sys.stderr.fileno()):
            self._stop.set()
        self._any.set()


@app.command(rich_help_panel="The gateway")
def demo(
    seconds: Annotated[float | None, typer.Option("--for", help="Stop after that many seconds.", min=1)] = None,
    seed: Annotated[int, typer.Option(help="The same seed makes the same calls.")] = 1,
    data_dir: Annotated[Path | None, typer.Option(help="Keep the demo's books here (default: a fresh folder).")] = None,
) -> None:
    """Watch the gate at work: a simulated PBX, a dozen tenants, an embedded ledger. Proves the books at the end."""
    from gateway.demo.run import run_demo  # noqa: PLC0415 - only this command pays for it

    raise typer.Exit(run(run_demo(seconds, seed, data_dir)))


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
