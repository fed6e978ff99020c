"""An event's figures as its reader writes them: amounts, times, spans and places, by the CLDR's rules (Babel).

The ledger's own figures are taken for what they are; all else of an event may be a stranger's text (a payment
system's reason, a caller's number), and is kept to one line that shows what it holds.
"""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from functools import cache
from typing import Final
from zoneinfo import ZoneInfo

from babel import Locale
from babel.dates import format_date, format_time
from babel.numbers import format_currency, format_decimal
from babel.units import format_unit

MOST_TEXT: Final = 200
_AMOUNTS: Final = frozenset({"amount", "trigger", "balance", "held", "available"})  # micro-units
_OF_A_LIMIT: Final = frozenset({"used", "most"})  # micro-units or seconds
_SPANS_MS: Final = frozenset({"window_ms"})  # all others that end so are times
_MICRO_PLACES: Final = 6
_COUNTS: Final = frozenset({"count", "failures"})
_MINUTE, _HOUR = 60, 3600
_TIME_MARK: Final = "_ms"
_MONEY: Final = "money"  # the unit of a limit
_NO_BREAK: Final = "\u00a0\u202f"


@cache
def locale_of(language: str) -> Locale:
    """The rules of a language tag such as ``fr-CA``. Raises ValueError for one that there is not."""
    try:
        return Locale.parse(language, sep="-")
    except Exception as error:  # Babel's own errors are of several families
        raise ValueError(f"{language[:20]!a} is no language tag that is known") from error


class Figures:
    """Writes figures in one language, time zone and currency."""

    def __init__(self, language: str, zone: ZoneInfo, currency: str) -> None:
        self._locale = locale_of(language)
        self._zone = zone
        self._currency = currency

    def all_of(self, facts: Mapping[str, str]) -> dict[str, str]:
        """Each fact that says something, as text. Raises ValueError for a figure that is none."""
        written = {}
        for name, value in facts.items():
            if value:
                written[name.removesuffix(_TIME_MARK)] = self._written(name, value, facts.get("unit", ""))
        return written

    def _written(self, name: str, value: str, unit: str) -> str:
        if name in _AMOUNTS or (name in _OF_A_LIMIT and unit == _MONEY):
            return self.amount(int(value))
        if name in _OF_A_LIMIT:
            return self.span(int(value))
        if name.endswith(_TIME_MARK):
            return self.span(int(value) // 1000) if name in _SPANS_MS else self.time(int(value))
        if name in _COUNTS:
            return str(format_decimal(int(value), locale=self._locale))
        if name == "country":
            return self.place(value)
        return one_line(value)

    def amount(self, micros: int) -> str:
        """Micro-units, exactly: with the currency's own places, and more where there is more."""
        value = Decimal(micros).scaleb(-_MICRO_PLACES)
        return str(format_currency(value, self._currency, locale=self._locale, decimal_quantization=False))

    def time(self, at_ms: int) -> str:
        """UTC epoch milliseconds as a date and a time of day."""
        at = datetime.fromtimestamp(at_ms // 1000, self._zone)
        clock = f"{format_time(at, 'short', locale=self._locale)}\u00a0{at:%Z}"
        return f"{format_date(at, 'long', self._locale)}, {clock}"

    def span(self, seconds: int) -> str:
        """Hours where they are whole, else minutes begun, or seconds below two minutes."""
        if seconds and seconds % _HOUR == 0:
            return self._unit(seconds // _HOUR, "hour")
        if seconds >= 2 * _MINUTE or (seconds and seconds % _MINUTE == 0):
            return self._unit(-(-seconds // _MINUTE), "minute")
        return self._unit(seconds, "second")

    def place(self, code: str) -> str:
        """A country by its two capitals; a code that is no country's (+881) as it is."""
        return self._locale.territories.get(code) or one_line(code)

    def _unit(self, count: int, name: str) -> str:
        return str(format_unit(count, f"duration-{name}", locale=self._locale))


def one_line(text: str) -> str:
    """Text that shows all it holds: no line ends, no control characters, no marks that turn the direction of text.

    The spaces that hold a figure and its unit together, or French words and their signs, stay what they are.
    """
    printable = "".join(each if each.isprintable() or each in _NO_BREAK else " " for each in text)
    shown = " ".join(word for word in printable.split(" ") if word)
    return shown if len(shown) <= MOST_TEXT else shown[: MOST_TEXT - 1] + "…"
