"""``callgate reconcile``: the books against Asterisk's own call records, for a billing clerk."""

import json
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from gateway import borrow
from gateway.adapters.archive import read_archive
from gateway.adapters.asterisk_cdr import CdrFileError, CdrProblem, read_files
from gateway.cli.common import CONFIG, AsJson, ConfigDir, fail, journal_folder, load_settings, tenant_named
from gateway.cli.errand import run
from gateway.cli.tables import right, show
from gateway.core.reconcile import Cdr, Kind, Scope, counts
from gateway.ports import ArchiveBrokenError
from gateway.service.directory import Directory
from gateway.service.reconcile import Report, Result
from gateway.service.reconcile import reconcile as compare
from gateway.settings import Settings
from rating import format_amount

_MOST_SHOWN = 20
_AGREE = frozenset({Kind.MATCHED, Kind.CORRECTED})


def reconcile(
    cdr: Annotated[list[Path], typer.Option(help="Asterisk's Master.csv; more than once for more files.")],
    tenant: Annotated[str | None, typer.Option(help="Whose calls; else all tenants'.")] = None,
    from_: Annotated[
        str | None, typer.Option("--from", help="Calls that began then or later: 2027-01-01 or 2027-01-01T18:00.")
    ] = None,
    to: Annotated[str | None, typer.Option(help="Calls that began before then.")] = None,
    trunk: Annotated[
        list[str] | None,
        typer.Option(help="How the names of metered trunk channels begin, as PJSIP/trunk-: calls there must be known."),
    ] = None,
    switch: Annotated[str | None, typer.Option(help="Whose CDRs these are; not needed where there is one.")] = None,
    apply: Annotated[bool, typer.Option("--apply", help="Correct the estimates; else nothing is changed.")] = False,
    journal: Annotated[
        Path | None, typer.Option(help="The archive's folder, where it is not that of the config.")
    ] = None,
    config: ConfigDir = CONFIG,
    as_json: AsJson = False,
) -> None:
    """Compare callgate's calls with Asterisk's CDRs, and correct estimated charges. Exit code 1 where they disagree."""
    settings = load_settings(config)
    if tenant is not None:
        tenant_named(settings, tenant)
    scope = Scope(
        switch=_switch(settings, switch),
        tenant=tenant or "",
        from_ms=_instant_ms(from_),
        to_ms=_instant_ms(to),
        trunks=tuple(trunk or ()),
    )
    folder = journal_folder(settings, journal)
    for file in cdr:
        if not file.exists() or file.is_dir():
            fail(f"{file} is no file; name Asterisk's Master.csv.")
    problems: list[CdrProblem] = []

    async def errand() -> Report:
        async with borrow.borrowed_ledger(settings) as ledger:
            return await compare(
                ledger,
                lambda name, n: read_archive(folder / name, n),
                Directory(settings.tenants.values()),
                _rows(cdr, problems),
                scope,
                apply=apply,
            )

    try:
        report = run(errand())
    except (CdrFileError, ArchiveBrokenError, ValueError) as error:
        fail(f"{error}")
    currencies = {each.tenant_id: each.currency for each in settings.tenants.values()}
    if as_json:
        print(json.dumps(_facts(report, problems, currencies, is_applied=apply)))
    else:
        _show(report, problems, currencies, is_applied=apply)
    if problems or report.begins_at or not all(_is_settled(result) for result in report.results):
        raise typer.Exit(1)


# ------------------------------------------------------------------------------------------------------ what is asked


def _rows(paths: list[Path], problems: list[CdrProblem]) -> Iterator[Cdr]:
    for row in read_files(paths):
        if isinstance(row, CdrProblem):
            problems.append(row)
        else:
            yield row


def _switch(settings: Settings, name: str | None) -> str:
    names = [switch.name for switch in settings.switches]
    if name is None and len(names) == 1:
        return names[0]
    if name is None:
        fail(f"Say whose CDRs these are: --switch {', '.join(names) or '(the config has no [[switch]])'}.")
    if name not in names:
        fail(f"There is no switch {name!a}; the config has: {', '.join(names) or 'none'}.")
    return name


def _instant_ms(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        return int(datetime.fromisoformat(text).astimezone().timestamp() * 1000)
    except (ValueError, OverflowError, OSError):
        fail(f"{text!a} is no time; write one such as 2027-01-31T18:00, with an offset where it is not this machine's.")


# ------------------------------------------------------------------------------------------------------ what is told


def _is_settled(result: Result) -> bool:
    return result.finding.kind in _AGREE or result.is_applied


def _counts(report: Report) -> dict[str, int]:
    found = counts(result.finding for result in report.results)
    applied = sum(result.is_applied for result in report.results)
    return {
        "matched": found[Kind.MATCHED] + found[Kind.CORRECTED],
        "missing": found[Kind.MISSING],
        "extra": found[Kind.EXTRA],
        "differing": found[Kind.DIFFERING],
        "open": found[Kind.OPEN],
        "estimates to correct": found[Kind.ESTIMATE] - applied,
        "estimates corrected": applied,
        "already corrected": found[Kind.CORRECTED],
    }


def _show(report: Report, problems: list[CdrProblem], currencies: dict[str, str], *, is_applied: bool) -> None:
    found = _counts(report)
    print(", ".join(f"{name} {count}" for name, count in found.items()))
    names = ("callgate", "CDR", "charged", "by the CDR")
    table = Table("finding", "tenant", "call", *map(right, names), "why", "CDR in")
    told = [result for result in report.results if result.finding.kind is not Kind.MATCHED]
    for result in told:
        table.add_row(*_cells(result, currencies))
    if told:
        show(table)
    if found["estimates to correct"] and not is_applied:
        print("Nothing was changed. With --apply, the estimates are corrected.")
    for problem in problems[:_MOST_SHOWN]:
        print(f"{problem.where}: {problem.sentence}", file=sys.stderr)
    if len(problems) > _MOST_SHOWN:
        print(f"and {len(problems) - _MOST_SHOWN} rows more that could not be read", file=sys.stderr)
    for tenant, first in report.begins_at.items():
        where = "entries before it are not here: name their folder by --journal, or compare later calls by --from"
        print(f"{tenant}: the journal begins with entry {first}; {where}.", file=sys.stderr)


def _cells(result: Result, currencies: dict[str, str]) -> tuple[str, ...]:
    facts = _result_facts(result, currencies)
    currency = facts["currency"]
    return (
        facts["finding"],
        facts["tenant"] or "-",
        facts["call"] or facts["uniqueid"],
        *(_or_dash(facts[name], lambda seconds: f"{seconds} s") for name in ("seconds", "cdr_seconds")),
        *(
            _or_dash(facts[name], lambda micros: format_amount(micros, currency))
            for name in ("charged_micros", "due_micros")
        ),
        facts["why"],
        facts["cdr"],
    )


def _or_dash(value: int | None, shown: Any) -> str:
    return "-" if value is None else str(shown(value))


def _result_facts(result: Result, currencies: dict[str, str]) -> dict[str, Any]:
    finding = result.finding
    call, cdr = finding.call, finding.cdr
    kind: str = finding.kind
    if kind == Kind.ESTIMATE:
        kind = "corrected" if result.is_applied else "to correct"
    leg = f"{cdr.dst!a} on {cdr.dstchannel!a}" if cdr and not call else ""
    return {
        "finding": kind,
        "tenant": finding.tenant,
        "call": call.call_id if call else "",
        "uniqueid": call.uniqueid if call else cdr.uniqueid if cdr else "",
        "seconds": call.seconds if call else None,
        "cdr_seconds": finding.cdr_seconds,
        "due_seconds": result.due.seconds if result.due else None,
        "charged_micros": call.charged_micros if call else None,
        "due_micros": result.due.charge_micros if result.due else None,
        "currency": currencies.get(finding.tenant),
        "why": ", ".join(filter(None, (finding.why, leg))),
        "cdr": cdr.where if cdr else "",
    }


def _facts(
    report: Report, problems: list[CdrProblem], currencies: dict[str, str], *, is_applied: bool
) -> dict[str, Any]:
    told = [result for result in report.results if result.finding.kind is not Kind.MATCHED]
    return {
        "is_applied": is_applied,
        "counts": {name.replace(" ", "_"): count for name, count in _counts(report).items()},
        "findings": [_result_facts(result, currencies) for result in told],
        "problems": [{"where": problem.where, "problem": problem.sentence} for problem in problems],
        "journal_begins_at": report.begins_at,
    }
