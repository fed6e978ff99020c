"""Rating: numbers, tariffs and exact charges.

Pure: no I/O, no clock, no log. Money is whole micro-units, rates are exact fractions, and every price comes
from the same line of arithmetic (`charge`).
"""

from rating.calendar import MOST_HOLIDAYS, Calendar, CalendarError, parse_zone
from rating.call_classes import CLASSES_BY_WORD, DOMESTIC_CLASSES, INTERNATIONAL_CLASSES, CallClass, dearer_class
from rating.charge import (
    Ladder,
    affordable_seconds,
    billed_seconds,
    charge_micros,
    ladder,
    longest_seconds,
    next_block_border,
)
from rating.class_overrides import OVERRIDING_CLASSES
from rating.coverage import kinds_without_a_row
from rating.dialling import Dialling, dialling_in
from rating.explain import Account, Run, explain
from rating.extension_patterns import PatternError
from rating.included import (
    IncludedCharge,
    affordable_with_included,
    charge_with_included,
    covered_micros,
    whole_blocks_seconds,
)
from rating.money import (
    MAX_MICROS,
    MICROS,
    AmountError,
    format_amount,
    format_rate,
    parse_amount,
    parse_rate,
)
from rating.number_errors import NumberError, NumberReason, PlanError
from rating.number_types import country_of, is_country, preload_number_types, split_country_code
from rating.numbers import Destination, NumberPlan
from rating.period import LATEST_MS, Period, day_of, hour_of, month_of, months_later
from rating.prefixes import PrefixError, Prefixes
from rating.price import Price
from rating.price_json import price_from_json, price_to_json
from rating.price_list import LIST_COLUMNS, list_cells, price_list
from rating.rate import MOST_CALL_SECONDS, MOST_CHARGE_UNIT_MICROS, Rate, RateError, RateStep
from rating.schedule import Schedule
from rating.tariff import Tariff, TariffChain
from rating.tariff_csv import RowProblem, TariffError, read_tariff

__all__ = [
    "CLASSES_BY_WORD",
    "DOMESTIC_CLASSES",
    "INTERNATIONAL_CLASSES",
    "LATEST_MS",
    "LIST_COLUMNS",
    "MAX_MICROS",
    "MICROS",
    "MOST_CALL_SECONDS",
    "MOST_CHARGE_UNIT_MICROS",
    "MOST_HOLIDAYS",
    "OVERRIDING_CLASSES",
    "Account",
    "AmountError",
    "Calendar",
    "CalendarError",
    "CallClass",
    "Destination",
    "Dialling",
    "IncludedCharge",
    "Ladder",
    "NumberError",
    "NumberPlan",
    "NumberReason",
    "PatternError",
    "Period",
    "PlanError",
    "PrefixError",
    "Prefixes",
    "Price",
    "Rate",
    "RateError",
    "RateStep",
    "RowProblem",
    "Run",
    "Schedule",
    "Tariff",
    "TariffChain",
    "TariffError",
    "affordable_seconds",
    "affordable_with_included",
    "billed_seconds",
    "charge_micros",
    "charge_with_included",
    "country_of",
    "covered_micros",
    "day_of",
    "dearer_class",
    "dialling_in",
    "explain",
    "format_amount",
    "format_rate",
    "hour_of",
    "is_country",
    "kinds_without_a_row",
    "ladder",
    "list_cells",
    "longest_seconds",
    "month_of",
    "months_later",
    "next_block_border",
    "parse_amount",
    "parse_rate",
    "parse_zone",
    "preload_number_types",
    "price_from_json",
    "price_list",
    "price_to_json",
    "read_tariff",
    "split_country_code",
    "whole_blocks_seconds",
]
