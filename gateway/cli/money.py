"""Commands about money: what an admin or a billing clerk books and looks at."""

import json
import shlex
import uuid
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from gateway import borrow
from gateway.cli.common import CONFIG, AsJson, ConfigDir, OfTenants, fail, load_settings, tenant_named
from gateway.cli.errand import InDoubtError, run
from gateway.cli.tables import right, show
from gateway.core.tenant import Tenant
from gateway.ports import Balance, Ledger, LedgerRejected, LedgerUnavailable, Lot, TopUp
from gateway.service.accounts import opened_account
from gateway.service.funds import add_funds
from rating import AmountError, format_amount, parse_amount

SOURCE = "command line"


def topup(
    tenant: str,
    amount: Annotated[str, typer.Argument(help="In units of the account's currency, such as 25.00.")],
    topup_id: Annotated[
        str | None, typer.Option("--id", help="Your own id, such as a payment's: the same id is booked once.")
    ] = None,
    source: Annotated[str, typer.Option(help="Where the money came from.")] = SOURCE,
    expires: Annotated[
        str | None,
        typer.Option(help="Last day of the funds, as 2027-12-31; else the tenant's rule."),
    ] = None,
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
    words += ["--expires", expires] if expires is not None else []
    words += ["--config", str(config)] if config != CONFIG else []
    expires_at_ms = None if expires is None else _end_of_day_ms(expires, owner)

    async def book() -> TopUp:
        async with borrow.borrowed_ledger(settings) as ledger:
            await opened_account(ledger, owner)
            with _explained(owner, micros, expires, shlex.join(words)):
                return await add_funds(ledger, owner, given_id, micros, source, expires_at_ms=expires_at_ms)

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


@contextmanager
def _explained(owner: Tenant, micros: int, expires: str | None, again: str) -> Iterator[None]:
    """Say what may have happened. Raises InDoubtError where no answer came: ``again``, the command, is safe to run."""
    try:
        yield
    except LedgerUnavailable as error:
        raise InDoubtError(f"It may have been booked. To finish it safely, run: {again}") from error
    except LedgerRejected as error:
        money = format_amount(micros, owner.currency)
        sentences = {
            "id_reused": f"This id was booked before with another amount than {money}; use a new id for a new payment.",
            "account_closed": f"The account is closed; run: callgate reopen {owner.tenant_id}",
        }
        if expires is not None and "expired" in str(error):
            sentences["bad_amount"] = f"Funds whose last day is {expires} have expired already; write a later day."
        raise LedgerRejected(error.code, sentences.get(error.code, str(error))) from error


def _end_of_day_ms(text: str, owner: Tenant) -> int:
    try:
        following = date.fromisoformat(text) + timedelta(days=1)
        return round(datetime(following.year, following.month, following.day, tzinfo=owner.zone).timestamp() * 1000)
    except (ValueError, OverflowError):
        fail(f"{text!a} is no day; write one as 2027-12-31.")


def reverse(
    tenant: str,
    topup_id: Annotated[str, typer.Argument(help="The id with which the top-up was booked.")],
    reason: Annotated[str, typer.Option(help="Why, for the journal.")] = "chargeback",
    config: ConfigDir = CONFIG,
    as_json: AsJson = False,
) -> None:
    """Take a top-up back, once (a chargeback). What of it was spent is owed; what of it has expired is not."""
    settings = load_settings(config)
    owner = tenant_named(settings, tenant)

    async def take_back() -> TopUp:
        async with borrow.borrowed_ledger(settings) as ledger:
            await opened_account(ledger, owner)
            try:
                return await ledger.reverse(tenant, topup_id, reason)
            except LedgerUnavailable as error:
                raise InDoubtError("It may have been taken back. Run the same again: it is done once.") from error
            except LedgerRejected as error:
                if error.code != "unknown_topup":
                    raise
                raise LedgerRejected(
                    error.code, f"{tenant} has no top-up of this id; write the id that `callgate topup` told."
                ) from error

    done = run(take_back(), about=f"top-up {topup_id}: ")
    if as_json:
        print(json.dumps({"id": topup_id, "tenant": tenant, **asdict(done)}))
        return
    was = "was taken back before" if done.is_repeat else "taken back"
    print(f"{tenant}: top-up {topup_id} {was}; balance {format_amount(done.balance_micros, owner.currency)}")


def close(tenant: str, config: ConfigDir = CONFIG, as_json: AsJson = False) -> None:
    """Close an account: no new calls, no top-ups, until it is reopened. What is in it stays."""
    _show_status(tenant, config, lambda ledger: ledger.close_account(tenant), as_json=as_json)


def reopen(tenant: str, config: ConfigDir = CONFIG, as_json: AsJson = False) -> None:
    """Open a closed account again."""
    _show_status(tenant, config, lambda ledger: ledger.reopen_account(tenant), as_json=as_json)


def _show_status(tenant: str, config: Path, change: Callable[[Ledger], Awaitable[Balance]], *, as_json: bool) -> None:
    settings = load_settings(config)
    owner = tenant_named(settings, tenant)

    async def apply() -> Balance:
        async with borrow.borrowed_ledger(settings) as ledger:
            await opened_account(ledger, owner)
            return await change(ledger)

    row = run(apply())
    if as_json:
        print(json.dumps(_balance_facts(row)))
        return
    is_now = "closed" if row.is_closed else "open"
    print(f"{tenant}: {is_now}; balance {format_amount(row.balance_micros, row.currency)}")


def balance(
    tenants: OfTenants = None,
    config: ConfigDir = CONFIG,
    as_json: AsJson = False,
) -> None:
    """Show balances: what is there, what calls hold, what is available, what expires next."""
    settings = load_settings(config)
    owners = [tenant_named(settings, name) for name in tenants or sorted(settings.tenants)]

    async def read() -> list[tuple[Balance, Sequence[Lot]]]:
        async with borrow.borrowed_ledger(settings) as ledger:
            return [(await opened_account(ledger, owner), await ledger.lots(owner.tenant_id)) for owner in owners]

    rows = run(read())
    if as_json:
        print(json.dumps([_balance_facts(row, lots) for row, lots in rows]))
        return
    numbers = [right(name) for name in ("balance", "held", "available", "calls", "expires next")]
    has_notes = any(_note(row) for row, _ in rows)
    table = Table("tenant", "currency", *numbers, *(["note"] if has_notes else []))
    for owner, (row, lots) in zip(owners, rows, strict=True):
        amounts = map(format_amount, (row.balance_micros, row.held_micros, row.available_micros))
        notes = [_note(row)] if has_notes else []
        table.add_row(row.tenant, row.currency, *amounts, str(row.live_calls), _expires_next(lots, owner), *notes)
    show(table)


def _expires_next(lots: Sequence[Lot], owner: Tenant) -> str:
    """The first free money that will expire, and its last day by the tenant's clock."""
    for lot in lots:
        if lot.free_micros and lot.expires_at_ms is not None:
            last = datetime.fromtimestamp((lot.expires_at_ms - 1) / 1000, owner.zone)
            return f"{format_amount(lot.free_micros)} on {last.date()}"
    return "-"


def _note(row: Balance) -> str:
    words = ["closed"] if row.is_closed else []
    return ", ".join([*words, *([f"debt {format_amount(row.debt_micros)}"] if row.debt_micros else [])])


def _balance_facts(row: Balance, lots: Sequence[Lot] | None = None) -> dict[str, Any]:
    facts = {"available_micros": row.available_micros, "debt_micros": row.debt_micros}
    return {**asdict(row), **facts, **({} if lots is None else {"lots": [asdict(lot) for lot in lots]})}


def _amount(text: str) -> int:
    try:
        micros = parse_amount(text, allow_negative=True)
    except AmountError as error:
        fail(str(error))
    if micros <= 0:
        fail(f"{text} adds nothing; write an amount above zero.")
    return micros
