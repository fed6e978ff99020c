"""``callgate audit``: the proof of the books, on a live system too."""

import json
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from gateway import borrow
from gateway.adapters.archive import read_archive
from gateway.adapters.audit_program import keep_report
from gateway.cli.common import CONFIG, AsJson, ConfigDir, OfTenants, journal_folder, load_settings, tenant_named
from gateway.cli.errand import run
from gateway.cli.tables import right, show
from gateway.core.findings import Verdict
from gateway.service.audit import audit_tenant
from gateway.settings import Settings
from rating import format_amount


def audit(
    tenants: OfTenants = None,
    journal: Annotated[
        Path | None, typer.Option(help="The archive's folder, where it is not that of the config.")
    ] = None,
    config: ConfigDir = CONFIG,
    as_json: AsJson = False,
) -> None:
    """Add up the journal, archive and Redis, and prove balances, holds and each call's charge. Calls may go on.

    Exit code 1 when anything does not fit; the first entry that does not is named. Of all tenants it is what the
    gateway shows in callgate_audit_findings, within a minute.
    """
    settings = load_settings(config)
    names = [tenant_named(settings, name).tenant_id for name in tenants or sorted(settings.tenants)]
    verdicts = run(_audit(settings, names, journal_folder(settings, journal)))
    report = json.dumps([_facts(name, verdict) for name, verdict in verdicts.items()])
    if not tenants and journal is None:
        keep_report(settings.journal.audit_file, report)
    if as_json:
        print(report)
    else:
        show(_table(settings, verdicts))
    if any(verdict.findings for verdict in verdicts.values()):
        raise typer.Exit(1)


async def _audit(settings: Settings, names: list[str], folder: Path) -> dict[str, Verdict]:
    async with borrow.borrowed_ledger(settings) as ledger:
        return {name: await audit_tenant(ledger, name, partial(read_archive, folder / name)) for name in names}


def _facts(name: str, verdict: Verdict) -> dict[str, object]:
    return {
        "tenant": name,
        "entries": verdict.entries,
        "first": verdict.first,
        "last": verdict.last,
        "balance_micros": verdict.balance,
        "held_micros": verdict.held,
        "is_clean": not verdict.findings,
        "findings": [asdict(finding) | {"sentence": str(finding)} for finding in verdict.findings],
    }


def _table(settings: Settings, verdicts: dict[str, Verdict]) -> Table:
    table = Table("tenant", *[right(name) for name in ("entries", "balance", "held")], "outcome")
    for name, verdict in verdicts.items():
        currency = settings.tenants[name].currency
        amounts = [format_amount(amount, currency) for amount in (verdict.balance, verdict.held)]
        table.add_row(name, str(verdict.entries), *amounts, _outcome(verdict))
    return table


def _outcome(verdict: Verdict) -> str:
    since = f", from entry {verdict.first} on: the older ones are not here" if verdict.first > 1 else ""
    if not verdict.findings:
        return f"ok{since}"
    more = f" (and {len(verdict.findings) - 1} more)" if len(verdict.findings) > 1 else ""
    return f"{verdict.findings[0]}{more}{since}"
