"""Which classes of calls a chain of tariffs has no row for: a plan that meters one refuses each call of it.

Rules of this file:

- Looked for are toll-free, domestic and international calls. That dearer classes (premium, satellite) have no row is
  how many refuse them.
- A row is for a class when some number that it covers is of the class. What a country's numbers are is asked of
  phonenumbers' examples, and of the prefix of each row of the home country, made longer.
- Toll-free are those of the home country, where it has some: a row for +800 is none for them.
- Fixed and mobile count as one: many tariffs and number plans do not tell them apart.
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Final

import phonenumbers

from rating.call_classes import DOMESTIC_CLASSES, INTERNATIONAL_CLASSES, CallClass
from rating.number_errors import NumberError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rating.numbers import NumberPlan
    from rating.tariff import TariffChain

_KINDS: Final = {
    "toll_free": frozenset({CallClass.TOLL_FREE}),
    "domestic": DOMESTIC_CLASSES,
    "international": INTERNATIONAL_CLASSES,
}
_TYPES: Final = (
    phonenumbers.PhoneNumberType.TOLL_FREE,
    phonenumbers.PhoneNumberType.FIXED_LINE,
    phonenumbers.PhoneNumberType.MOBILE,
)
_DIGITS: Final = "0123456789"
_TELLING_DIGITS: Final = 3  # behind the country code: so many tell the class of a number nearly everywhere


def kinds_without_a_row(chain: TariffChain, plan: NumberPlan, metered: frozenset[CallClass]) -> tuple[str, ...]:
    """Return which of `toll_free`, `domestic` and `international` are metered and have no row at all."""
    missing = {kind for kind, classes in _KINDS.items() if classes & metered}
    if _example(plan, phonenumbers.PhoneNumberType.TOLL_FREE) is None:
        missing -= {"toll_free"}
    for call_class in _classes_with_a_row(chain, plan):
        missing -= {kind for kind in missing if call_class in _KINDS[kind]}
        if not missing:
            break
    return tuple(kind for kind in _KINDS if kind in missing)


def _classes_with_a_row(chain: TariffChain, plan: NumberPlan) -> Iterator[CallClass]:
    """Each class that is found, some of them often, the likely places first."""
    for number in (_example(plan, kind) for kind in _TYPES):
        if number is not None and any(tariff.rows(number) for tariff in chain.tariffs):
            yield from _classes(plan, number)
    home = str(phonenumbers.country_code_for_region(plan.home_country))
    heads: dict[str, None] = {}  # in the order of the rows
    for tariff in chain.tariffs:
        for rate in tariff.rates:
            if rate.call_class is not None:
                yield rate.call_class
            if rate.prefix.startswith(home):
                heads[rate.prefix[: len(home) + _TELLING_DIGITS]] = None
            else:
                yield CallClass.INTERNATIONAL_FIXED
    for head in heads:
        for number in _numbers(head, home, _lengths(plan)):
            yield from _classes(plan, number)


def _numbers(head: str, home: str, lengths: tuple[int, ...]) -> Iterator[str]:
    """Numbers that begin so; the shorter it is, the more different ones."""
    is_short = len(head) < len(home) + _TELLING_DIGITS
    for more, filler, length in product(("", *_DIGITS) if is_short else ("",), _DIGITS, lengths):
        yield f"+{(head + more).ljust(len(home) + length, filler)}"


def _example(plan: NumberPlan, kind: int) -> str | None:
    """A number of the home country; None where it has none of that kind."""
    example = phonenumbers.example_number_for_type(plan.home_country, kind)
    return None if example is None else phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.E164)


def _lengths(plan: NumberPlan) -> tuple[int, ...]:
    data = phonenumbers.PhoneMetadata.metadata_for_region(plan.home_country)
    assert data is not None, "the plan has checked its country"
    assert data.general_desc is not None, "each country has lengths"
    lengths: tuple[int, ...] = data.general_desc.possible_length
    return lengths


def _classes(plan: NumberPlan, number: str) -> Iterator[CallClass]:
    """The number's class; none where it is no number."""
    try:
        yield plan.resolve(number).call_class
    except NumberError:
        return
