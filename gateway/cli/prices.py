"""``callgate quote`` and ``callgate rates``: what a call costs and why, and all prices of a tenant."""

import csv
import io
import json
import re
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from gateway.cli.common import CONFIG, AsJson, ConfigDir, fail, load_settings, tenant_named
from gateway.cli.tables import right, show
from gateway.core import quote as quotes
from gateway.core.facts import Direction
from gateway.core.tenant import Included, Tenant
from gateway.service.directory import Directory
from gateway.settings import ConfigErrors, load_tariff
from rating import (
    LATEST_MS,
    LIST_COLUMNS,
    MOST_CALL_SECONDS,
    Account,
    AmountError,
    Price,
    Rate,
    Run,
    Tariff,
    affordable_with_included,
    explain,
    format_amount,
    format_rate,
    list_cells,
    month_of,
    price_list,
)

_E164 = re.compile(r"\+?[1-9][0-9]{1,14}")


@dataclass(frozen=True, slots=True)
class Subject:
    """What is quoted: a number, its price from an instant on, and what its tenant has for it."""

    number: str
    call_class: str  # empty where only a tariff is known
    price: Price
    at_ms: int
    currency: str = ""
    tenant: Tenant | None = None
    pool: Included | None = None
    direction: Direction = Direction.OUTBOUND

    @property
    def month(self) -> str:
        """The month in whose included time the call is, by the tenant's calendar."""
        return month_of(self.at_ms, self.tenant.zone).name if self.tenant else ""

    @property
    def included_seconds(self) -> int:
        """Of a month that nothing was spent of yet: what is left is not known before calls spend it."""
        return self.pool.seconds if self.pool else 0


def quote(
    number: Annotated[str, typer.Argument(help="As the tenant dials it; with --tariff as +442079460000.")],
    seconds: Annotated[
        int | None, typer.Option(min=0, max=MOST_CALL_SECONDS, help="How long the call is; else the price is shown.")
    ] = None,
    tenant: Annotated[str | None, typer.Option(help="Who calls; not needed where there is one tenant.")] = None,
    tariff: Annotated[Path | None, typer.Option(help="A tariff's CSV, in place of a tenant's prices.")] = None,
    at: Annotated[str | None, typer.Option(help="When it is answered, as 2027-01-31T18:00; else now.")] = None,
    inbound: Annotated[
        bool, typer.Option("--inbound", help="A call that comes in on that number: its owner pays.")
    ] = False,
    config: ConfigDir = CONFIG,
    as_json: AsJson = False,
) -> None:
    """Show what a call costs, and how that comes about: row, blocks, limits, the exact sum and what is charged."""
    at_ms = _instant_ms(at)
    if tariff is not None:
        if tenant is not None:
            fail("Name a tenant or a tariff, not both.")
        if inbound:
            fail("Leave --inbound out: a tariff alone says what a call to a number costs.")
        subject = _of_tariff(number, tariff, at_ms)
    else:
        owner = _owner(number, tenant, config) if inbound else _tenant(tenant, config)
        direction = Direction.INBOUND if inbound else Direction.OUTBOUND
        subject = _of_tenant(number, owner, at_ms, direction, as_json=as_json)
    if seconds is None:
        _show_price(subject, config, as_json=as_json)
    else:
        _show_charge(subject, seconds, as_json=as_json)


def rates(
    tenant: Annotated[str | None, typer.Option(help="Whose; not needed where there is one tenant.")] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV, in the columns of a tariff.")] = False,
    config: ConfigDir = CONFIG,
    as_json: AsJson = False,
) -> None:
    """Show all prices of a tenant: its own, then its plan's, then the default's, as far as they price calls."""
    rows = [list_cells(rate) for rate in price_list(_tenant(tenant, config).tariffs)]
    if as_json:
        print(json.dumps(rows))
        return
    if as_csv:
        text = io.StringIO()
        writer = csv.DictWriter(text, LIST_COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        print(text.getvalue(), end="")
        return
    used = [name for name in LIST_COLUMNS if any(row[name] for row in rows)]
    table = Table(*used)
    for row in rows:
        table.add_row(*(row[name] for name in used))
    show(table)


# ------------------------------------------------------------------------------------------------- what is quoted


def _instant_ms(text: str | None) -> int:
    try:
        instant = datetime.now().astimezone() if text is None else datetime.fromisoformat(text).astimezone()
        at_ms = int(instant.timestamp() * 1000)
    except (ValueError, OverflowError, OSError):
        at_ms = -1
    if not 0 <= at_ms < LATEST_MS - MOST_CALL_SECONDS * 1000:
        fail(f"{text!a} is no time; write one such as 2027-01-31T18:00, with an offset where it is not this machine's.")
    return at_ms


def _tenant(name: str | None, config: Path) -> Tenant:
    settings = load_settings(config)
    if name is None and len(settings.tenants) == 1:
        return next(iter(settings.tenants.values()))
    if name is None:
        fail(f"Say whose, by --tenant; the config has: {', '.join(sorted(settings.tenants)) or 'none'}.")
    return tenant_named(settings, name)


def _owner(number: str, name: str | None, config: Path) -> Tenant:
    """Whose the number is; a tenant that is named and does not own it is told so."""
    found = Directory(load_settings(config).tenants.values()).owner(number)
    if name is not None or found is None:
        return _tenant(name, config)
    return found


def _of_tenant(number: str, tenant: Tenant, at_ms: int, direction: Direction, *, as_json: bool) -> Subject:
    """A tenant's call, decided as the gate would. One that would be refused, or would pass, is told and ends here."""
    found = quotes.quote(tenant, number, at_ms, direction)
    if found.price is not None:
        facts = (found.number, found.call_class, found.price, at_ms, tenant.currency, tenant, found.pool)
        return Subject(*facts, direction)
    if found.sentence:
        fail(f"{found.sentence} ({found.reason})")
    if found.outcome is quotes.Outcome.REFUSED:
        fail(f"{number}, {found.call_class}: such a call is refused ({found.reason}).")
    free = {"number": number, "class": found.call_class, "tenant": tenant.tenant_id, "is_metered": False}
    print(json.dumps(free) if as_json else f"{number}, {found.call_class}: such a call passes without charge.")
    raise typer.Exit


def _of_tariff(number: str, file: Path, at_ms: int) -> Subject:
    if _E164.fullmatch(number) is None:
        fail(f"{number!a} is no E.164 number; with --tariff write it as +442079460000.")
    try:
        tariff: Tariff = load_tariff(file)
    except ConfigErrors as errors:
        fail(f"{errors}")
    price = tariff.price(number, at_ms, at_ms + MOST_CALL_SECONDS * 1000)
    if price is None:
        fail(f"No row of {file} covers {number} at that time; such a call is refused.")
    return Subject(number, price.rates[0].call_class or "", price, at_ms)


# --------------------------------------------------------------------------------------------- a call of a length


def _show_charge(subject: Subject, seconds: int, *, as_json: bool) -> None:
    try:
        account = explain(subject.price, subject.at_ms, seconds, subject.included_seconds)
    except AmountError as error:
        fail(str(error))
    if as_json:
        print(json.dumps({**_facts(subject), **_account(account, subject)}))
        return
    _print_subject(subject)
    billed = "" if account.billed_seconds == seconds else f", billed as {account.billed_seconds} s"
    print(f"{seconds} s{billed}")
    table = Table(*map(right, ("from", "to", "blocks", "a minute", "amount")), "row")
    for part in account.runs:
        table.add_row(*_run_cells(part))
    if account.fee:
        table.add_row("", "", "", "", format_rate(account.fee), "connect fee")
    if account.runs or account.fee:
        show(table)
    for sentence in _limits(account, subject):
        print(sentence)
    print(f"exactly {format_rate(account.exact_charge)}, charged {_money(account.charge_micros, subject)}")


def _run_cells(part: Run) -> tuple[str, ...]:
    return (
        f"{part.from_second} s",
        f"{part.to_second} s",
        f"{part.blocks} of {part.block_seconds} s",
        format_rate(part.per_minute),
        format_rate(part.amount),
        _row(part.rate) + (", included" if part.is_included else ""),
    )


def _limits(account: Account, subject: Subject) -> list[str]:
    """What changed the sum of fee and blocks, in a sentence each."""
    said = []
    if account.free_seconds is not None:
        said.append(f"free: no longer than {account.free_seconds} s")
    if account.minimum_charge is not None:
        said.append(f"raised to the minimum charge of {format_rate(account.minimum_charge)}")
    if account.maximum_charge is not None:
        said.append(f"lowered to the maximum charge of {format_rate(account.maximum_charge)}")
    if subject.pool is not None:
        name, left = subject.pool.name, subject.pool.seconds
        said.append(f"{account.included_seconds} s of {name} used, of {left} s that {subject.month} includes")
    return said


def _account(account: Account, subject: Subject) -> dict[str, Any]:
    return {
        "seconds": account.seconds,
        "billed_seconds": account.billed_seconds,
        "connect_fee": format_rate(account.fee),
        "runs": [
            {
                "from_second": part.from_second,
                "to_second": part.to_second,
                "blocks": part.blocks,
                "block_seconds": part.block_seconds,
                "rate_per_minute": format_rate(part.per_minute),
                "amount": format_rate(part.amount),
                "is_included": part.is_included,
                "row": _row_facts(part.rate),
            }
            for part in account.runs
        ],
        "free_seconds": account.free_seconds,
        "minimum_charge": _or_none(account.minimum_charge),
        "maximum_charge": _or_none(account.maximum_charge),
        "included_seconds": account.included_seconds,
        "month": subject.month or None,
        "exact_charge": format_rate(account.exact_charge),
        "charge_micros": account.charge_micros,
    }


# ---------------------------------------------------------------------------------------------------- the price


def _show_price(subject: Subject, config: Path, *, as_json: bool) -> None:
    rate = subject.price.rates[0]
    cells = {name: cell for name, cell in list_cells(rate).items() if cell}
    available_micros = _available_micros(subject, config)
    longest: int | None = None
    if available_micros is not None:
        schedule = subject.price.schedule(subject.at_ms)
        try:
            longest = affordable_with_included(schedule, available_micros, subject.included_seconds)
        except AmountError as error:
            fail(str(error))
    if as_json:
        credit = {} if available_micros is None else {"available_micros": available_micros, "longest_seconds": longest}
        print(json.dumps({**_facts(subject), "row": {**_row_facts(rate), **cells}, **credit}))
        return
    _print_subject(subject)
    print(f"priced by {_row(rate)}")
    for name, cell in cells.items():
        print(f"  {name}: {cell}")
    if available_micros is not None:
        lasts = "without end" if longest is None else f"{longest} s"
        print(f"available {_money(available_micros, subject)}: a call would last {lasts}")


def _available_micros(subject: Subject, config: Path) -> int | None:
    tenant = subject.tenant
    if tenant is None:
        return None
    from gateway import borrow  # noqa: PLC0415 - no other price needs the books
    from gateway.cli.errand import run  # noqa: PLC0415
    from gateway.service.accounts import opened_account  # noqa: PLC0415

    async def read() -> int:
        async with borrow.borrowed_ledger(load_settings(config)) as ledger:
            return (await opened_account(ledger, tenant)).available_micros

    return run(read())


# -------------------------------------------------------------------------------------------------------- words


def _print_subject(subject: Subject) -> None:
    words = [
        f"to {subject.number}" if subject.direction is Direction.INBOUND else subject.number,
        subject.direction if subject.direction is Direction.INBOUND else "",
        subject.call_class,
        f"answered {_when(subject.at_ms).isoformat(sep=' ', timespec='seconds')}",
    ]
    print(", ".join(word for word in words if word))


def _facts(subject: Subject) -> dict[str, Any]:
    return {
        "number": subject.number,
        "class": subject.call_class,
        "direction": subject.direction,
        "is_metered": True,
        "answered_at": _when(subject.at_ms).isoformat(),
        "tenant": subject.tenant.tenant_id if subject.tenant else None,
        "currency": subject.currency or None,
    }


def _when(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms // 1000).astimezone()


def _row(rate: Rate) -> str:
    band = f", {rate.band}" if rate.band else ""
    return f"{rate.tariff} line {rate.line}: {rate.prefix} {rate.destination}{band}".rstrip()


def _row_facts(rate: Rate) -> dict[str, Any]:
    return {
        "tariff": rate.tariff,
        "line": rate.line,
        "prefix": rate.prefix,
        "destination": rate.destination,
        "band": rate.band,
    }


def _money(micros: int, subject: Subject) -> str:
    return format_amount(micros, subject.currency or None)


def _or_none(amount: Fraction | None) -> str | None:
    return None if amount is None else format_rate(amount)
