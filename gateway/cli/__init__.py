"""The command line: what an admin types. It prints for people, or JSON with ``--json``; errors go to standard error.

Exit codes: 0 done, 1 the thing asked for could not be done (one sentence says why), 2 the command was mistyped.
"""

import asyncio
import json
import shlex
import signal
import sys
import uuid
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import parse_qs, urlsplit

import structlog
import typer
from rich.table import Table

from gateway import bootstrap, logs
from gateway.cli import audit, prices, reconcile
from gateway.cli.common import (
    CONFIG,
    AsJson,
    ConfigDir,
    InDoubtError,
    fail,
    load_settings,
    right,
    run,
    show,
    tenant_named,
)
from gateway.core.tenant import Tenant
from gateway.ports import Ledger, LedgerRejected, LedgerUnavailable, StoredCall, TopUp
from gateway.settings import Settings, check, load
from rating import AmountError, format_amount, parse_amount

app = typer.Typer(
    name="callgate",
    help="Prepaid call authorization for Asterisk: money is held before the ring.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command()(prices.quote)
app.command()(prices.rates)
app.command()(audit.audit)
app.command()(reconcile.reconcile)
log = structlog.get_logger(__name__)


def _version(is_asked: bool) -> None:
    if is_asked:
        print(f"callgate {metadata.version('callgate')}")
        raise typer.Exit


SOURCE = "command line"


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
    _refuse_what_is_not_gated(settings)
    logs.configure(settings.log_level)
    for warning in settings.warnings:
        log.warning("config.warning", problem=str(warning))
    run(_serve(settings))


def _refuse_what_is_not_gated(settings: Settings) -> None:
    tenants = sorted(tenant.tenant_id for tenant in settings.tenants.values() if tenant.included)
    if tenants:
        fail(
            f"Calls do not spend included minutes yet: remove [[included]] of {', '.join(tenants)} or of the plan, "
            "else they would pay for what it includes."
        )


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
def topup(
    tenant: str,
    amount: Annotated[str, typer.Argument(help="In units of the account's currency, such as 25.00.")],
    topup_id: Annotated[
        str | None, typer.Option("--id", help="Your own id, such as a payment's: the same id is booked once.")
    ] = None,
    source: Annotated[str, typer.Option(help="Where the money came from.")] = SOURCE,
    config: ConfigDir = CONFIG,
    as_json: AsJson = False,
) -> None:
    """Add funds to a tenant's account."""
    settings = load_settings(config)
    owner = tenant_named(settings, tenant)
    micros = _amount(amount)
    given_id = _topup_id(topup_id)
    words = ["callgate", "topup", tenant, amount, "--id", given_id]
    words += ["--source", source] if source != SOURCE else []
    words += ["--config", str(config)] if config != CONFIG else []

    async def book() -> TopUp:
        async with bootstrap.borrowed_ledger(settings) as ledger:
            await bootstrap.open_account(ledger, owner)
            return await _book(ledger, owner, given_id, micros, source, again=shlex.join(words))

    done = run(book(), about=f"top-up {given_id}: ")
    if as_json:
        paid = {"id": given_id, "tenant": tenant, "currency": owner.currency, "amount_micros": micros}
        print(json.dumps({**paid, "balance_micros": done.balance_micros, "is_repeat": done.is_repeat}))
        return
    was = "was booked before" if done.is_repeat else "added"
    money = format_amount(micros, owner.currency)
    print(f"{tenant}: {money} {was} (id {given_id}); balance {format_amount(done.balance_micros, owner.currency)}")


def _topup_id(given: str | None) -> str:
    if given is not None and not given.strip():
        fail("--id is empty; write the payment's id, or leave --id out.")
    return given or f"cli-{uuid.uuid4()}"


async def _book(ledger: Ledger, owner: Tenant, topup_id: str, micros: int, source: str, *, again: str) -> TopUp:
    """Send the top-up. Raises InDoubtError where no answer came: ``again``, its command, is then safe to run."""
    try:
        return await ledger.top_up(owner.tenant_id, topup_id, micros, owner.currency, source)
    except LedgerUnavailable as error:
        raise InDoubtError(f"It may have been booked. To finish it safely, run: {again}") from error
    except LedgerRejected as error:
        if error.code != "id_reused":
            raise
        money = format_amount(micros, owner.currency)
        raise LedgerRejected(
            error.code, f"This id was booked before with another amount than {money}; use a new id for a new payment."
        ) from error


@app.command()
def balance(
    tenants: Annotated[list[str] | None, typer.Argument(help="All of them where none is named.")] = None,
    config: ConfigDir = CONFIG,
    as_json: AsJson = False,
) -> None:
    """Show balances: what is there, what calls hold, what is available."""
    settings = load_settings(config)
    owners = [tenant_named(settings, name) for name in tenants or sorted(settings.tenants)]

    async def read() -> list[Any]:
        async with bootstrap.borrowed_ledger(settings) as ledger:
            return [await bootstrap.open_account(ledger, owner) for owner in owners]

    rows = run(read())
    if as_json:
        print(json.dumps([{**asdict(row), "available_micros": row.available_micros} for row in rows]))
        return
    table = Table("tenant", "currency", *[right(name) for name in ("balance", "held", "available", "calls")])
    for row in rows:
        amounts = (row.balance_micros, row.held_micros, row.available_micros)
        table.add_row(row.tenant, row.currency, *map(format_amount, amounts), str(row.live_calls))
    show(table)


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


def _amount(text: str) -> int:
    try:
        micros = parse_amount(text, allow_negative=True)
    except AmountError as error:
        fail(str(error))
    if micros <= 0:
        fail(f"{text} adds nothing; write an amount above zero.")
    return micros
