"""The admin's word against the number plan's: prefixes of E.164 numbers that have a class of their own.

Rules of this file:

- The longest prefix that a number begins with decides, before anything that the number plan says of it.
- Only numbers have prefixes: an override neither makes nor unmakes an emergency, internal or short-code call.
- Domestic and toll-free numbers have the home country's calling code: 787 is no Puerto Rico, but a Russian +7.
- A short prefix may only raise, to premium. 1, 18 or 44 stand for several countries, and for premium numbers
  among them; a class that may cost less wants an area code's 3 digits behind the country code.
"""

from __future__ import annotations

import re
from typing import Final

from rating._quote import quoted
from rating.call_classes import DOMESTIC_CLASSES, CallClass
from rating.e164 import MOST_E164_DIGITS
from rating.number_errors import PlanError
from rating.number_types import split_country_code

OVERRIDING_CLASSES: Final = frozenset(CallClass) - {CallClass.EMERGENCY, CallClass.INTERNAL, CallClass.SHORT_CODE}
"""The classes that a prefix can have."""

_HOME_CLASSES: Final = DOMESTIC_CLASSES | {CallClass.TOLL_FREE}
_LEAST_AREA_DIGITS: Final = 3
_PREFIX: Final = re.compile(rf"[1-9][0-9]{{0,{MOST_E164_DIGITS - 1}}}")


class ClassOverrides:
    """Classes by prefix, checked. `home_code` is the home country's calling code.

    Raises:
        PlanError: a prefix that begins no number, or that is given a class which it must not have.
    """

    __slots__ = ("_classes", "_lengths")

    def __init__(self, classes: tuple[tuple[str, CallClass], ...], home_code: int) -> None:
        for prefix, call_class in classes:
            _check(prefix, call_class, home_code)
        self._classes = dict(classes)
        self._lengths = sorted({len(prefix) for prefix in self._classes}, reverse=True)

    def get(self, digits: str) -> CallClass | None:
        """Return the class of the longest prefix of `digits`, an E.164 number without its +; None for none."""
        for length in self._lengths:
            call_class = self._classes.get(digits[:length])
            if call_class is not None:
                return call_class
        return None


def _check(prefix: str, call_class: CallClass, home_code: int) -> None:
    split = split_country_code(prefix) if _PREFIX.fullmatch(prefix) else None
    if split is None:
        raise _error(
            prefix,
            f"{quoted(prefix)} begins no E.164 number; write the country code and more, such as {home_code}70.",
        )
    code, area = split
    if call_class not in OVERRIDING_CLASSES:
        words = ", ".join(sorted(OVERRIDING_CLASSES))
        raise _error(prefix, f"No prefix can make a call {call_class}; write one of {words}.")
    if call_class in _HOME_CLASSES and code != home_code:
        raise _error(
            prefix,
            f"{prefix} has the country code {code}, and only numbers of {home_code} can be {call_class}; "
            f"write the country code first, as in {home_code}{prefix}, or another class.",
        )
    if call_class is not CallClass.PREMIUM and len(area) < _LEAST_AREA_DIGITS:
        raise _error(
            prefix,
            f"{prefix} is too wide to be {call_class}, for premium numbers may begin with it; "
            f"write at least {_LEAST_AREA_DIGITS} digits behind the country code {code}.",
        )


def _error(prefix: str, sentence: str) -> PlanError:
    return PlanError(sentence, "classes", prefix)
