"""What the demo shows: a live table on a terminal, plain lines elsewhere, and the proof of the books at the end."""

import time
from collections import deque
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Final, Protocol, Self

from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.table import Column, Table
from rich.text import Text

from gateway.demo.books import TenantBooks
from gateway.ports import Balance
from rating import format_amount

NEWS_SHOWN: Final = 6
STATUS_SECONDS: Final = 5.0
PLAIN_WIDTH: Final = 150
UNMEASURED: Final = 1000


class Board(Protocol):
    """Where news and figures go. Entered before, left after the show."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def announce(self, text: str) -> None:
        """What is so for the whole show."""
        ...

    def tell(self, tenant: str, news: str) -> None:
        """Something happened to a tenant."""
        ...

    def show(self, balances: Mapping[str, Balance], live: Mapping[str, int], totals: str) -> None:
        """The figures now: accounts, calls on the PBX by tenant, and one line on the whole."""
        ...


def board(console: Console) -> Board:
    """The table where somebody watches, lines where a file does."""
    return TableBoard(console) if console.is_terminal else LineBoard(console)


def console() -> Console:
    """Standard output, wide enough for the summary also where it is no terminal."""
    out = Console(highlight=False)
    return out if out.is_terminal else Console(highlight=False, width=PLAIN_WIDTH)


class LineBoard:
    """One line for each piece of news, and one on the whole every few seconds."""

    def __init__(self, out: Console) -> None:
        self._out = out
        self._began_at = time.monotonic()
        self._next_status = STATUS_SECONDS

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing to put away."""

    def announce(self, text: str) -> None:
        """Print it."""
        for line in text.splitlines():
            self._print(f"{'':<12}  {line}")

    def tell(self, tenant: str, news: str) -> None:
        """Print it."""
        self._print(f"{tenant:<12}  {news}")

    def show(self, balances: Mapping[str, Balance], live: Mapping[str, int], totals: str) -> None:
        """Print the totals from time to time, and who has nothing left."""
        if time.monotonic() - self._began_at >= self._next_status:
            self._next_status += STATUS_SECONDS
            dry = ", ".join(name for name, account in balances.items() if account.available_micros <= 0)
            self._print(f"{'':<12}  {totals}; live {sum(live.values())}; nothing left: {dry or 'nobody'}")

    def _print(self, text: str) -> None:
        self._out.print(Text(f"{time.monotonic() - self._began_at:6.1f} s  {text}"), soft_wrap=True)


class TableBoard:
    """A table that is drawn anew."""

    def __init__(self, out: Console) -> None:
        self._live = Live(console=out, refresh_per_second=8, transient=True)
        self._last: dict[str, str] = {}
        self._announced = ""
        self._news: deque[str] = deque(maxlen=NEWS_SHOWN)
        self._began_at = time.monotonic()

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the screen as it was."""
        self._live.__exit__(kind, error, trace)

    def announce(self, text: str) -> None:
        """Keep it for each drawing."""
        self._announced = text

    def tell(self, tenant: str, news: str) -> None:
        """Keep it for the next drawing."""
        self._last[tenant] = news
        self._news.append(f"{time.monotonic() - self._began_at:6.1f} s  {tenant:<12}  {news}")

    def show(self, balances: Mapping[str, Balance], live: Mapping[str, int], totals: str) -> None:
        """Draw."""
        table = Table("tenant", *_right("balance", "held", "available", "live"), "last", expand=True)
        for name, account in balances.items():
            style = "red" if account.available_micros <= 0 else "green" if live.get(name) else ""
            table.add_row(
                name,
                format_amount(account.balance_micros, account.currency),
                format_amount(account.held_micros),
                Text(format_amount(account.available_micros), style=style),
                str(live.get(name, 0)),
                Text(self._last.get(name, ""), no_wrap=True, overflow="ellipsis"),
            )
        news = "\n".join(self._news)
        totals = f"{totals}; live {sum(live.values())}"
        self._live.update(
            Group(Text(totals, style="bold"), Text(self._announced), table, Text(news, style="dim", no_wrap=True))
        )


# -------------------------------------------------------------------------------------------------- the summary


def show_books(out: Console, books: Sequence[TenantBooks]) -> None:
    """Print the books of each tenant, their sums by currency, and whether they hold."""
    table = _books_table(books)
    if out.measure(table, options=out.options.update(width=UNMEASURED)).maximum > out.width:
        table = _books_table(books, without=("± adjusted", "held", "metered"))
        table.box, table.padding, table.show_edge = box.SIMPLE, 0, False
    out.print(table)
    for line in books:
        for fault in line.faults:
            out.print(Text(f"{line.tenant}: {fault}", style="bold red"), soft_wrap=True)


def _books_table(books: Sequence[TenantBooks], without: Sequence[str] = ()) -> Table:
    """The table; who it is about and whether it holds are never shortened."""
    money = ("opening", "+ top-ups", "- charges", "± adjusted", "= balance", "held")
    figures = (*money, "calls", "metered", "cut", "refused")
    shown = [index for index, name in enumerate(figures) if name not in without]
    sums = {
        f"all {currency}": _sums([line for line in books if line.currency == currency])
        for currency in sorted({line.currency for line in books})
    }
    widest = max((len(name) for name in (*sums, *(line.tenant for line in books))), default=0)
    tenant = Column("tenant", no_wrap=True, min_width=widest)
    table = Table(tenant, *_right(*(figures[index] for index in shown)), Column("books", no_wrap=True, min_width=5))
    for line in books:
        counts = (str(count) for count in (line.calls, line.metered, line.cut, line.refused))
        row = [*_amounts(line), *counts]
        holds = Text("hold", style="green") if not line.faults else Text("WRONG", style="bold red")
        table.add_row(line.tenant, *(row[index] for index in shown), holds)
    table.add_section()
    for name, (*row, verdict) in sums.items():
        table.add_row(name, *(row[index] for index in shown), verdict)
    return table


def _amounts(line: TenantBooks) -> list[str]:
    return [
        format_amount(line.opening_micros),
        format_amount(line.topups_micros),
        format_amount(line.charges_micros),
        format_amount(line.adjustments_micros),
        format_amount(line.balance_micros, line.currency),
        format_amount(line.held_micros),
    ]


def _sums(lines: Sequence[TenantBooks]) -> list[str]:
    opening, topups, charges = (
        sum(line.opening_micros for line in lines),
        sum(line.topups_micros for line in lines),
        sum(line.charges_micros for line in lines),
    )
    adjustments = sum(line.adjustments_micros for line in lines)
    balance = sum(line.balance_micros for line in lines)
    holds = opening + topups - charges + adjustments == balance and not any(line.faults for line in lines)
    return [
        *(format_amount(micros) for micros in (opening, topups, charges, adjustments)),
        format_amount(balance, lines[0].currency),
        format_amount(sum(line.held_micros for line in lines)),
        *(str(sum(getattr(line, name) for line in lines)) for name in ("calls", "metered", "cut", "refused")),
        "hold" if holds else "WRONG",
    ]


def _right(*names: str) -> list[Column]:
    return [Column(name, justify="right", no_wrap=True) for name in names]
