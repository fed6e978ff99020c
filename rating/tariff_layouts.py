"""Which columns a tariff's header may have: callgate's own, and those that other billing systems export.

Rules of this file:

- A layout is told by the names in the header. A column that a layout does not know is an error: it might be
  one that changes a price. What is only of use to the other system (trunks, buying rates) is passed over.
- A row is brought to callgate's own columns, as text, and read like any other. It then costs exactly what it
  costs in the system that it comes from; a row for which that cannot be said is refused.
- Sources: A2Billing 2.2 (`Class.RateEngine.php`, table `cc_ratecard`), ASTPP 6 (`rates.php`,
  `astpp.cdr.php`), MagnusBilling 7 (`view/rate/List.js`, `CalcAgi.php`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from rating._quote import quoted
from rating.rate import MOST_INCREMENT_SECONDS
from rating.tariff_cells import COLUMNS, OPTIONAL_COLUMNS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    Cells = dict[str, str]

_WHOLE: Final = re.compile(r"[0-9]{1,6}")
_DECIMAL: Final = re.compile(r"[0-9]*[.,]?[0-9]+")
_ZERO: Final = re.compile(r"-?0*[.,]?0*")
_PRICED: Final = ("prefix", "rate_per_minute", "initial_increment", "increment")


class CellError(ValueError):
    """A cell for which callgate has no equivalent: `key` of its column, and what to do about it."""

    def __init__(self, key: str, remedy: str) -> None:
        super().__init__(remedy)
        self.key = key


@dataclass(frozen=True, slots=True)
class Layout:
    """A header that is understood.

    `keys` maps the names of a header to callgate's own columns, or to what `translate` knows them by.
    `translate` brings a row to callgate's own columns; None for a row that is not in effect. It raises
    CellError. `marks` are the names by which the layout is told from the others.
    """

    name: str
    marks: frozenset[str]
    keys: Mapping[str, str]
    required: tuple[str, ...]
    passed_over: frozenset[str]
    translate: Callable[[Cells], Cells | None]


def column_name(cell: str) -> str:
    """Bring a header's cell to the form of a column's name: `"Cost / Min (USD)"` is `cost_min`."""
    return re.sub(r"[\s_/-]+", "_", re.sub(r"\([^()]*\)\Z", "", cell.strip().strip('"').strip()).strip().lower())


def layout_of(names: list[str]) -> Layout:
    """Return the layout whose marks are all in a header; callgate's own where none is."""
    return next((layout for layout in _EXPORTS if layout.marks.issubset(names)), OWN)


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _own(cells: Cells) -> Cells:
    return cells


def _is_zero(text: str) -> bool:
    return _ZERO.fullmatch(text) is not None


def _seconds(cells: Cells, key: str) -> int:
    """Read whole seconds that an export may leave empty."""
    text = cells.get(key) or "0"
    if _WHOLE.fullmatch(text) is None or int(text) > MOST_INCREMENT_SECONDS:
        raise CellError(key, f"{quoted(text)} is no time; write whole seconds, at most {MOST_INCREMENT_SECONDS}.")
    return int(text)


def _plain_row(cells: Cells) -> Cells:
    """Return the columns that every row has, with what an export may leave out."""
    row = {"destination": cells.get("destination", ""), "connect_fee": cells.get("connect_fee") or "0"}
    return row | {key: cells[key] for key in _PRICED}


def _in_multiples(cells: Cells) -> Cells:
    """Bill a call beyond the first block in whole multiples of the other, counted from its beginning.

    So do A2Billing and MagnusBilling: with blocks of 30 and 60 seconds, 31 seconds are billed as 60, not 90.
    A block of 0 is one second; a first block of 0 is a block like the others.
    """
    row = _plain_row(cells)
    increment = _seconds(cells, "increment") or 1
    initial = _seconds(cells, "initial_increment") or increment
    row |= {"initial_increment": str(initial), "increment": str(increment)}
    price, gap = row["rate_per_minute"], -initial % increment
    if gap and _DECIMAL.fullmatch(price):  # a price that is none is refused as such
        row["steps"] = f"{initial}:{price}/{gap} {initial + gap}:{price}/{increment}"
    return row


# ----------------------------------------------------------------------------------------------------- A2Billing

_A2BILLING_WITHOUT: Final = {
    "disconnectcharge": "add it to connectcharge, and set it to 0 here",
    "stepchargea": "add it to connectcharge, and set it to 0 here",
    "stepchargeb": "set it to 0, and raise chargeb instead",
    "stepchargec": "set it to 0, and raise chargec instead",
    "additional_grace": "set it to 0, and raise the rate instead",
    "additional_block_charge": "set it to 0, and raise the rate instead",
    "rounding_calltime": "set it to 0, and raise initblock instead",
    "starttime": "load only the rows that hold at all times, from 0 to 10079",
}
"""What A2Billing can charge and callgate cannot, with the remedy; 0 is A2Billing's default for each of them."""

_WHOLE_WEEK: Final = ("", "10079")


def _a2billing(cells: Cells) -> Cells:
    for key, remedy in _A2BILLING_WITHOUT.items():
        if not _is_zero(cells.get(key, "")):
            raise CellError(key, f"{quoted(cells[key])} cannot be taken over; {remedy}.")
    if cells.get("endtime", "") not in _WHOLE_WEEK:
        raise CellError("endtime", f"{quoted(cells['endtime'])} cannot be taken over; load only whole weeks.")
    cycles = list(_a2billing_cycles(cells))
    row = _a2billing_progressive(cells, cycles) if cycles else _in_multiples(cells)
    minimum = cells.get("minimum_charge", "")
    return row if _is_zero(minimum) else {**row, "minimum_charge": minimum}


def _a2billing_cycles(cells: Cells) -> Iterator[tuple[str, int, int]]:
    """Yield price, duration and block of each cycle of a progressive rate; the first without one is the end."""
    for cycle in "abc":
        price, seconds = cells.get(f"charge{cycle}", ""), _seconds(cells, f"timecharge{cycle}")
        if _is_zero(price) or not seconds:
            return
        if _DECIMAL.fullmatch(price) is None:
            raise CellError(f"charge{cycle}", f"{quoted(price)} is no rate; write a plain decimal number.")
        block = _seconds(cells, f"billingblock{cycle}") or 1
        if seconds % block:
            # A2Billing would bill the block's rest twice: in this cycle, and again in the next.
            remedy = f"{block} does not divide the {seconds} seconds of its cycle; write one that does."
            raise CellError(f"billingblock{cycle}", remedy)
        yield price, seconds, block


def _a2billing_progressive(cells: Cells, cycles: list[tuple[str, int, int]]) -> Cells:
    """Return a row of steps: each cycle, and then the initial rate."""
    row = _plain_row(cells)
    price, seconds, block = cycles[0]
    initial = _seconds(cells, "initial_increment") or block
    if initial > block and (initial % block or initial > seconds):
        remedy = f"{initial} seconds do not fit into the first cycle; write a multiple of {block}, up to {seconds}."
        raise CellError("initial_increment", remedy)
    last_price, last_block = row["rate_per_minute"], _seconds(cells, "increment") or 1
    if _DECIMAL.fullmatch(last_price) is None:
        return row  # and is refused for its price
    steps, offset = [], seconds
    for next_price, next_seconds, next_block in cycles[1:]:
        steps.append(f"{offset}:{next_price}/{next_block}")
        offset += next_seconds
    steps.append(f"{offset}:{last_price}/{last_block}")
    row |= {"rate_per_minute": price, "initial_increment": str(max(initial, block)), "increment": str(block)}
    return {**row, "steps": " ".join(steps)}


# ----------------------------------------------------------------------------------------- ASTPP and MagnusBilling

_IN_EFFECT: Final = {"": True, "active": True, "1": True, "inactive": False, "0": False}


def _is_in_effect(cells: Cells) -> bool:
    status = cells.get("status", "")
    in_effect = _IN_EFFECT.get(status.lower())
    if in_effect is None:
        raise CellError("status", f"{quoted(status)} is not known; write Active or Inactive.")
    return in_effect


def _astpp(cells: Cells) -> Cells | None:
    """Bill the first block and then the others, after the grace time, which is free but for the fee."""
    if not _is_in_effect(cells):
        return None
    row = _plain_row(cells)
    price, grace = row["rate_per_minute"], _seconds(cells, "grace")
    increment = _seconds(cells, "increment") or 1
    initial = _seconds(cells, "initial_increment") or increment
    row |= {"initial_increment": str(initial), "increment": str(increment)}
    if grace and _DECIMAL.fullmatch(price):
        row |= {"rate_per_minute": "0", "initial_increment": str(grace)}
        row["steps"] = f"{grace}:{price}/{initial} {grace + initial}:{price}/{increment}"
    return row


def _magnusbilling(cells: Cells) -> Cells | None:
    return _in_multiples(cells) if _is_in_effect(cells) else None


def _magnus_layout(names: str, passed_over: str) -> Layout:
    """Return MagnusBilling's layout in one of its languages: the header is what its screen shows."""
    header = names.split()
    keys = ("prefix", "destination", "rate_per_minute", "initial_increment", "increment", "connect_fee", "status")
    return Layout(
        name="MagnusBilling",
        marks=frozenset((header[0], header[2])),
        keys=dict(zip(header, keys, strict=True)),
        required=_PRICED,
        passed_over=_names(passed_over),
        translate=_magnusbilling,
    )


OWN: Final = Layout(
    name="callgate",
    marks=frozenset(),
    keys={column: column for column in (*COLUMNS, *OPTIONAL_COLUMNS)},
    required=COLUMNS,
    passed_over=frozenset(),
    translate=_own,
)

_A2BILLING_NAMES: Final = {
    "dialprefix": "prefix",
    "destination": "destination",
    "dest_name": "destination",
    "rateinitial": "rate_per_minute",
    "initblock": "initial_increment",
    "billingblock": "increment",
    "connectcharge": "connect_fee",
    "minimal_cost": "minimum_charge",
}
_A2BILLING_OTHERS: Final = (
    *_A2BILLING_WITHOUT,
    "endtime",
    *(f"{name}{cycle}" for cycle in "abc" for name in ("charge", "timecharge", "billingblock")),
)

_EXPORTS: Final = (
    Layout(
        name="A2Billing",
        marks=frozenset(("dialprefix", "rateinitial")),
        keys=_A2BILLING_NAMES | {name: name for name in _A2BILLING_OTHERS},
        required=_PRICED,
        passed_over=_names(
            "id idtariffplan buyrate buyrateinitblock buyrateincrement id_trunk musiconhold id_outbound_cidgroup tag "
            "is_merged disconnectcharge_after rounding_threshold additional_block_charge_time announce_time_correction"
        ),
        translate=_a2billing,
    ),
    Layout(
        name="ASTPP",
        marks=frozenset(("code", "cost_min")),
        keys={
            "code": "prefix",
            "destination": "destination",
            "connection_cost": "connect_fee",
            "grace_time": "grace",
            "cost_min": "rate_per_minute",
            "initial_increment": "initial_increment",
            "increment": "increment",
            "status": "status",
        },
        required=(*_PRICED, "connect_fee", "grace"),
        passed_over=_names("country priority strip prepend trunk rate_group reseller created_date modified_date"),
        translate=_astpp,
    ),
    _magnus_layout(
        "prefix destination sell_price initial_block billing_block connection_charge status",
        "id trunk_groups plan include_in_offer",
    ),
    _magnus_layout(
        "prefijo destino precio_de_venta bloque_inicial bloque_de_cobro costo_de_conexión estado",
        "id grupos_de_troncales plan incluir_en_oferta",
    ),
    _magnus_layout(
        "prefixo destino preço_de_venda bloco_mínimo bloco_de_tarifação taxa_de_conexão status",
        "id grupo_de_tronco plano incluir_nos_pacotes_grátis",
    ),
)

KNOWN_NAMES: Final = frozenset(name for layout in (OWN, *_EXPORTS) for name in (*layout.keys, *layout.passed_over))
"""Every name that some header may have: by them the delimiter is found."""
