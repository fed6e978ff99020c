"""The command line: what an admin types. It prints for people, or JSON with ``--json``; errors go to standard error.

Exit codes: 0 done, 1 the thing asked for could not be done (one sentence says why), 2 the command was mistyped.
"""

import asyncio
import json
import os
import signal
import sys
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Annotated

import structlog
import typer
from rich.table import Table

from gateway import bootstrap, logs
from gateway.cli import api, audit, desk, explain, money, prices, recharge, reconcile
from gateway.cli import config as configs
from gateway.cli import doctor as doctors
from gateway.cli import reload as reloads
from gateway.cli.common import (
    CONFIG,
    AsJson,
    ConfigDir,
    load_settings,
    right,
    run,
    show,
)
from gateway.ports import StoredCall
from gateway.settings import Settings
from rating import format_amount

app = typer.Typer(
    name="callgate",
    help="Prepaid call authorization for Asterisk: money is held before the ring.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command()(prices.quote)
app.command()(prices.rates)
for command in (money.topup, money.reverse, money.balance, money.close, money.reopen):
    app.command()(command)
app.command()(configs.check)
app.add_typer(configs.shows, name="show")
app.command()(configs.schema)
app.command()(reloads.reload)
app.command()(reloads.diff)
app.command()(desk.quarantine)
app.command()(desk.lift)
app.command()(desk.restrictions)
app.command()(desk.refusals)
app.command("allow-country")(desk.allow_country)
app.add_typer(recharge.recharges, name="recharge")
app.command()(api.cut)
app.add_typer(api.tokens, name="token")
app.command()(doctors.doctor)
app.command()(audit.audit)
app.command()(explain.explain)
app.command()(reconcile.reconcile)
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


@app.command()
def serve(config: ConfigDir = CONFIG) -> None:
    """Gate calls until stopped (SIGTERM, SIGINT); SIGHUP reloads. A stop settles nothing: the PBX keeps its caps."""
    settings = load_settings(config)
    logs.configure(settings.log_level)
    for warning in settings.warnings:
        log.warning("config.warning", problem=str(warning))
    run(_serve(settings))


async def _serve(settings: Settings) -> None:
    signals = _Signals()
    async with bootstrap.Gateway(settings) as gateway:
        log.info(
            "gateway.started",
            tenants=len(settings.tenants),
            switches=[switch.name for switch in settings.switches],
            http=f"http://{settings.http.host}:{gateway.http.port}",
        )
        while await signals.is_reload():
            await gateway.reload()
    log.info("gateway.stopped")


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


@app.command()
def demo(
    seconds: Annotated[float | None, typer.Option("--for", help="Stop after that many seconds.", min=1)] = None,
    seed: Annotated[int, typer.Option(help="The same seed makes the same calls.")] = 1,
    data_dir: Annotated[Path | None, typer.Option(help="Keep the demo's books here (default: a fresh folder).")] = None,
) -> None:
    """Watch the gate at work: a simulated PBX, a dozen tenants, an embedded ledger. Proves the books at the end."""
    from gateway.demo.run import run_demo  # noqa: PLC0415 - only this command pays for it

    raise typer.Exit(run(run_demo(seconds, seed, data_dir)))


# ------------------------------------------------------------------------------------------------------- the ledger


@app.command()
def calls(config: ConfigDir = CONFIG, as_json: AsJson = False) -> None:
    """Show the calls whose books are open: what each holds and was granted."""
    settings = load_settings(config)

    async def read() -> list[StoredCall]:
        async with bootstrap.borrowed_ledger(settings) as ledger:
            return [call for tenant in sorted(settings.tenants) for call in await ledger.live_calls(tenant)]

    rows = run(read())
    if as_json:
        print(json.dumps([{**asdict(row), "meta": json.loads(row.meta)} for row in rows]))
        return
    table = Table("tenant", "call", "state", "number", *[right(name) for name in ("granted", "charged", "held")])
    for row in rows:
        number = json.loads(row.meta).get("e164", "")
        table.add_row(
            row.key.tenant,
            row.key.call_id,
            row.state,
            number,
            f"{row.granted_seconds} s",
            format_amount(row.charged_micros),
            format_amount(row.held_micros),
        )
    show(table)
