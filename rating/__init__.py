"""Rating: numbers, tariffs and exact charges.

Pure: no I/O, no clock, no log. Money is whole micro-units, rates are exact fractions, and every price comes
from the same line of arithmetic (`charge`).
"""

from rating.call_classes import CLASSES_BY_WORD, DOMESTIC_CLASSES, INTERNATIONAL_CLASSES, CallClass
from rating.charge import (
    Ladder,
    affordable_seconds,
    billed_seconds,
    charge_micros,
    ladder,
    next_block_border,
)
from rating.class_overrides import OVERRIDING_CLASSES
from rating.extension_patterns import PatternError
from rating.money import (
    MAX_MICROS,
    MICROS,
    AmountError,
    format_amount,
    parse_amount,
    parse_rate,
)
from rating.number_errors import NumberError, NumberReason, PlanError
from rating.number_types import preload_number_types
from rating.numbers import Destination, NumberPlan
from rating.tariff import Rate, Tariff
from rating.tariff_csv import RowProblem, TariffError, read_tariff

__all__ = [
    "CLASSES_BY_WORD",
    "DOMESTIC_CLASSES",
    "INTERNATIONAL_CLASSES",
    "MAX_MICROS",
    "MICROS",
    "OVERRIDING_CLASSES",
    "AmountError",
    "CallClass",
    "Destination",
    "Ladder",
    "NumberError",
    "NumberPlan",
    "NumberReason",
    "PatternError",
    "PlanError",
    "Rate",
    "RowProblem",
    "Tariff",
    "TariffError",
    "affordable_seconds",
    "billed_seconds",
    "charge_micros",
    "format_amount",
    "ladder",
    "next_block_border",
    "parse_amount",
    "parse_rate",
    "preload_number_types",
    "read_tariff",
]
