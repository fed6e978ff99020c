"""What the benches before a fleet have in common: one gateway with its embedded ledger, and the books at the end."""

from __future__ import annotations

import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.load.fleet.blocks import Side
from tests.load.fleet.site import TARIFF, Site
from tests.load.fleet.steering import Fleet

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.load.document import Document
    from tests.load.fleet.site import Group

SWITCHES: Final = 8
GATEWAY, LEDGER = "gateway", "ledger"
BOOKED_SECONDS: Final = 30.0
LOOK_SECONDS: Final = 2.0


@contextmanager
def folder_of_its_own() -> Iterator[Path]:
    """One that goes with what is in it."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        yield Path(name)


@contextmanager
def one_gateway(
    groups: Sequence[Group], tariff: str = TARIFF, dialled: Sequence[str] = ()
) -> Iterator[tuple[Side, Site]]:
    """A fleet and a gateway before it. ``dialled``: numbers, else those that the fleet has."""
    with ExitStack() as stack:
        folder = stack.enter_context(folder_of_its_own())
        numbers = folder / "numbers" if dialled else None
        if numbers is not None:
            numbers.write_text("\n".join(dialled))
        fleet = stack.enter_context(Fleet(SWITCHES, numbers))
        site = stack.enter_context(Site(folder, fleet, groups, tariff))
        yield Side(fleet, {GATEWAY: site.pid, LEDGER: site.ledger_pid}, site), site


def tell_books(document: Document, sites: Sequence[Site], of: str = "") -> None:
    """Money is right at the end, whatever was tried. ``sites``: gateways before the same books; ``of``: their name."""
    first, *others = sites
    books = first.check_books(others)
    deadline = time.monotonic() + BOOKED_SECONDS
    while books.faults and time.monotonic() < deadline:  # a settle that was not taken at once is sent again
        time.sleep(LOOK_SECONDS)
        books = first.check_books(others)
    document.facts[f"{of}calls charged"] = f"{books.charged:,}"
    if books.faults:
        document.notes.append(f"{of}the books of {len(books.faults)} tenants do not check out, as {books.faults[0]}")
    right = (books.tenants - len(books.faults), books.tenants)
    document.ratio(f"{of}tenants whose books check out / all", [right], ">= 1")
    if problems := sorted({problem for site in sites for problem in site.problems()}):
        document.notes.append(f"{of}callgate's log warns of: {', '.join(problems)}")
