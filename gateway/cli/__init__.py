"""The command line: what an admin types. It prints for people, or JSON with ``--json``; errors go to standard error.

Exit codes: 0 done, 1 the thing asked for could not be done (one sentence says why), 2 the command was mistyped.
"""

import asyncio
import json
import signal
import sys
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Annotated
from urllib.parse import parse_qs, urlsplit

import structlog
import typer
from rich.table import Table

from gateway import bootstrap, logs
from gateway.cli import audit, explain, money, prices, reconcile
from gateway.cli import doctor as doctors
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
from gateway.settings import Settings, check, load
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
    """Gate calls until stopped (SIGTERM, SIGINT, SIGHUP). A stop settles nothing: the PBX keeps its caps."""
    settings = load_settings(config)
    logs.configure(settings.log_level)
    for warning in settings.warnings:
        log.warning("config.warning", problem=str(warning))
    run(_serve(settings))


async def _serve(settings: Settings) -> None:
    stopped = asyncio.Event()
    for number in _stop_signals():
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with bootstrap.Gateway(settings) as gateway:
        log.info(
            "gateway.started",
            tenants=len(settings.tenants),
            switches=[switch.name for switch in settings.switches],
            http=f"http://{settings.http.host}:{gateway.http.port}",
        )
        await stopped.wait()
    log.info("gateway.stopped")


def _stop_signals() -> list[signal.Signals]:
    # Who starts it with nohup wants it to outlive the terminal.
    hangup = [] if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else [signal.SIGHUP]
    return [signal.SIGTERM, signal.SIGINT, *hangup]


@app.command()
def demo(
    seconds: Annotated[float | None, typer.Option("--for", help="Stop after that many seconds.", min=1)] = None,
    seed: Annotated[int, typer.Option(help="The same seed makes the same calls.")] = 1,
    data_dir: Annotated[Path | None, typer.Option(help="Keep the demo's books here (default: a fresh folder).")] = None,
) -> None:
    """Watch the gate at work: a simulated PBX, a dozen tenants, an embedded ledger. Proves the books at the end."""
    from gateway.demo.run import run_demo  # noqa: PLC0415 - only this command pays for it

    raise typer.Exit(run(run_demo(seconds, seed, data_dir)))


# ------------------------------------------------------------------------------------------------------- the config


@app.command("check")
def check_config(config: ConfigDir = CONFIG) -> None:
    """Check the config: each problem with its file, line, key and remedy. Exit code 1 when it cannot be used."""
    problems = check(config)
    errors = [problem for problem in problems if not problem.is_warning]
    for problem in problems:
        print(problem, file=sys.stderr if not problem.is_warning else sys.stdout)
    if errors:
        print(f"{_count(len(errors), 'problem')}.", file=sys.stderr)
        raise typer.Exit(1)
    settings = load(config)
    tenants, switches = _count(len(settings.tenants), "tenant"), _count(len(settings.switches), "switch", "switches")
    print(f"The config is right: {tenants}, {switches}.")
    print(f"books: {_books(settings)}")


def _books(settings: Settings) -> str:
    """Where the money is. Of a URL, neither user nor password nor what else it may hide them in."""
    if settings.redis.is_embedded:
        return f"embedded, {settings.redis.data_dir}"
    url = urlsplit(settings.redis.url)
    database = "".join(f"?db={number}" for number in parse_qs(url.query).get("db", [])[:1])
    return f"{url.scheme}://{url.netloc.rpartition('@')[2]}{url.path}{database}"


def _count(number: int, one: str, several: str | None = None) -> str:
    return f"{number} {one if number == 1 else several or one + 's'}"


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
