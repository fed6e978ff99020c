"""``callgate replay``: yesterday's calls against tomorrow's tariff or limits, for who decides about either."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from stat import S_ISREG
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from gateway.adapters.asterisk_cdr import CdrFileError
from gateway.adapters.past import Found, Whose, read_past_calls
from gateway.cli.common import CONFIG, AsJson, ConfigDir, fail, load_settings, tenant_named
from gateway.cli.replay_csv import write_csv
from gateway.cli.replay_told import Told, left_out
from gateway.core.replay import PastCall
from gateway.core.replay import replay as decide_all
from gateway.core.replay_sums import By, Replayed, summed
from gateway.core.tenant import Tenant
from gateway.settings import ConfigErrors, Settings, tenant_as_if
from rating import AmountError, CalendarError, parse_amount, parse_zone


def replay(
    records: Annotated[
        list[Path], typer.Argument(help="Asterisk's Master.csv, callgate's log, or files of the journal's archive.")
    ],
    tenant: Annotated[str, typer.Option(help="Whose calls.")],
    tariff: Annotated[
        str | None, typer.Option(help="A tariff's CSV, or its name in the config: what would calls cost by it?")
    ] = None,
    limits: Annotated[
        str | None,
        typer.Option(help="A plan's or a tenant's file, or its name in the config: what would its limits refuse?"),
    ] = None,
    balance: Annotated[
        str | None,
        typer.Option(help="Of a prepaid account that these calls alone use, as 50.00; else there is credit for all."),
    ] = None,
    by: Annotated[By, typer.Option(help="What the table is grouped by.")] = By.CLASS,
    csv_file: Annotated[
        Path | None, typer.Option("--csv", help="Write each call there; no file may be there yet.")
    ] = None,
    trunk: Annotated[
        list[str] | None,
        typer.Option(help="How the names of metered trunk channels begin, as PJSIP/trunk-; for Master.csv."),
    ] = None,
    cdr_zone: Annotated[
        str | None, typer.Option(help="The time zone of Master.csv's times; else this machine's (UTC: usegmtime=yes).")
    ] = None,
    config: ConfigDir = CONFIG,
    as_json: AsJson = False,
) -> None:
    """Show what past calls would have cost, and which would have been refused, by another tariff or other limits.

    Exit code 1 where a row could not be read.
    """
    settings = load_settings(config)
    today = tenant_named(settings, tenant)
    new = _changed(settings, today, tariff, limits)
    balance_micros = _amount(balance)
    whose = _whose(settings, today, tuple(trunk or ()), _zone(cdr_zone))
    found = _read(records, whose)
    calls = _compared(found.calls, today, new, balance_micros)
    if csv_file is not None:
        _write(csv_file, calls, new)
    is_compared = any(one.was is not one.now for one in calls)
    told = Told(found, calls, new, summed(calls, by), by, balance_micros, is_compared)
    if as_json:
        print(json.dumps(told.facts()))
    else:
        told.show()
    if found.problem_count:
        raise typer.Exit(1)


# ------------------------------------------------------------------------------------------------------ what is asked


def _changed(settings: Settings, today: Tenant, tariff: str | None, limits: str | None) -> Tenant:
    try:
        return today if tariff is None and limits is None else tenant_as_if(settings, today, tariff, limits)
    except ConfigErrors as errors:
        fail("\n".join(str(problem) for problem in errors.problems if not problem.is_warning))


def _amount(text: str | None) -> int | None:
    try:
        return None if text is None else parse_amount(text)
    except AmountError as error:
        fail(f"{error}")


def _zone(name: str | None) -> ZoneInfo | None:
    try:
        return None if name is None else parse_zone(name)
    except CalendarError as error:
        fail(f"{error}")


def _whose(settings: Settings, owner: Tenant, trunks: tuple[str, ...], zone: ZoneInfo | None) -> Whose:
    others = [other for other in settings.tenants.values() if other is not owner]
    return Whose(
        tenant=owner.tenant_id,
        currency=owner.currency,
        other_codes=frozenset(code for other in others for code in other.accountcodes),
        other_tenants=frozenset(other.tenant_id for other in others),
        owned=owner.inbound.numbers,
        trunks=trunks,
        zone=zone,
    )


# ------------------------------------------------------------------------------------------------------ what is done


def _read(records: list[Path], whose: Whose) -> Found:
    try:
        total = sum(_size(file) for file in records)
        with _bar("reading", total, unit="bytes") as on_read:
            found = read_past_calls(records, whose, on_read)
    except CdrFileError as error:
        fail(f"{error}")
    except OSError as error:
        fail(f"{error.filename} cannot be read ({error.strerror}); name files of call records.")
    if not found.calls:
        fail(_why_none(found, whose.tenant))
    return found


def _size(file: Path) -> int:
    """In bytes. What cannot be read twice, or has no end, is no file of records. Raises OSError."""
    facts = file.stat()
    if not S_ISREG(facts.st_mode):
        fail(f"{file} is no file; name files of call records, as Master.csv.")
    return facts.st_size


def _why_none(found: Found, tenant: str) -> str:
    """One sentence, however many rows there are."""
    if not found.left_out and not found.problem_count:
        return f"there is no call in it; name Asterisk's Master.csv, callgate's log, or files of {tenant}'s journal."
    why = "; ".join((f"there is no call of {tenant} to replay", *left_out(found)))
    if not found.problems:
        return f"{why}."
    first = found.problems[0]
    return f"{why}; {found.problem_count} that could not be read, first {first.where}: {first.sentence}"


def _compared(calls: list[PastCall], today: Tenant, new: Tenant, balance_micros: int | None) -> list[Replayed]:
    """Each as it was: as its record says, else by today's rules; and as it would be."""
    known = [call.was for call in calls if call.was is not None]
    is_known = len(known) == len(calls)
    runs = 1 if is_known or new is today else 2
    with _bar("replaying", runs * len(calls), unit="calls") as on_done:
        now = decide_all(calls, new, balance_micros, on_done)
        if is_known:
            was = known
        elif new is today:
            was = now
        else:
            was = decide_all(calls, today, balance_micros, lambda done: on_done(len(calls) + done))
    return [Replayed(*each) for each in zip(calls, was, now, strict=True)]


@contextmanager
def _bar(what: str, total: int, unit: str) -> Iterator[Any]:
    """A progress bar, on a terminal alone."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    columns = (TextColumn(f"{what:9}"), BarColumn(), MofNCompleteColumn(), TextColumn(unit), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=total)
        yield lambda done: progress.update(task, completed=done)


def _write(file: Path, calls: list[Replayed], owner: Tenant) -> None:
    try:
        with file.open("x", encoding="utf-8", newline="") as stream:
            write_csv(stream, calls, owner)
    except FileExistsError:
        fail(f"{file} is there already; name a new file, or remove that one.")
    except OSError as error:
        fail(f"{file} cannot be written ({error.strerror}); name a file in a folder that is there.")
