"""A price list: what a chain of tariffs charges, row by row, in the columns of the project's own CSV.

Rules of this file:

- A row is on the list when some call can be priced by it. A tariff later in the chain has no say where an earlier
  one always covers the prefix.
- What is written is exact, and is read again as the same rate. Instants are UTC, and say so.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from rating.money import format_amount, format_rate
from rating.tariff_cells import COLUMNS, OPTIONAL_COLUMNS

if TYPE_CHECKING:
    from rating.rate import Rate
    from rating.tariff import TariffChain

LIST_COLUMNS: Final = (*COLUMNS, *OPTIONAL_COLUMNS)


def price_list(chain: TariffChain) -> list[Rate]:
    """Return the rows that price calls, by prefix; those of one prefix in their order of precedence."""
    listed: list[tuple[str, int, Rate]] = []
    for place, tariff in enumerate(chain.tariffs):
        earlier = chain.tariffs[:place]
        for rate in tariff.rates:
            covering = (other.rows(rate.prefix) for other in earlier)
            if not any(rows and rows[-1].holds_always for rows in covering):
                listed.append((rate.prefix, place, rate))
    return [rate for _, _, rate in sorted(listed, key=lambda entry: entry[:2])]


def list_cells(rate: Rate) -> dict[str, str]:
    """Return a row's cells by column; what it does not say is empty."""
    steps = (f"{s.offset_seconds}:{format_rate(s.per_minute)}/{s.increment_seconds}" for s in rate.steps)
    return {
        "prefix": rate.prefix,
        "destination": rate.destination,
        "connect_fee": format_rate(rate.connect_fee),
        "rate_per_minute": format_rate(rate.per_minute),
        "initial_increment": str(rate.initial_increment_seconds),
        "increment": str(rate.increment_seconds),
        "steps": " ".join(steps),
        "minimum_charge": format_rate(rate.minimum_charge) if rate.minimum_charge else "",
        "maximum_charge": "" if rate.maximum_charge is None else format_rate(rate.maximum_charge),
        "at_maximum": "" if rate.maximum_charge is None else "end" if rate.ends_at_maximum else "free",
        "maximum_seconds": "" if rate.maximum_seconds is None else str(rate.maximum_seconds),
        "free_seconds": str(rate.free_seconds) if rate.free_seconds else "",
        "charge_unit": format_amount(rate.charge_unit_micros) if rate.charge_unit_micros > 1 else "",
        "class": rate.call_class or "",
        "band": rate.band,
        "effective_from": _instant(rate.effective_from_ms),
        "effective_to": _instant(rate.effective_to_ms),
    }


def _instant(at_ms: int | None) -> str:
    return "" if at_ms is None else datetime.fromtimestamp(at_ms // 1_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
