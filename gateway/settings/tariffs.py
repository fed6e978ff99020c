"""Tariffs from their files: a CSV, and beside it, where it needs one, a TOML of the same name.

The TOML says what the rows cannot: their currency, how prices are written, and when bands and holidays are.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import lcm
from pathlib import Path
from typing import Any, Final

from gateway.settings.lines import KeyPath
from gateway.settings.problem import ConfigErrors, Problem, in_order
from gateway.settings.reading import Document, Reading, is_file
from gateway.settings.tenant_file import TariffFile
from rating import Calendar, CalendarError, RateError, Tariff, TariffError, read_tariff

MOST_TARIFF_BYTES: Final = 256 * 1024 * 1024
MOST_ROWS_TOLD: Final = 100


@dataclass(frozen=True, slots=True)
class Known:
    """A tariff as its files have it; ``currency`` is empty where they do not say. ``stamp`` is that of the files."""

    tariff: Tariff
    currency: str = ""
    stamp: str = ""
    rounded: dict[int, Tariff] = field(default_factory=dict, repr=False)  # by charge unit in micro-units


@dataclass(slots=True)
class Tariffs:
    """The tariffs' folder. Each file is read once, however many tenants have it.

    ``before`` is what the last reading found: a tariff whose files are the same is not made again.
    """

    reading: Reading
    folder: Path
    before: Mapping[str, Known] = field(default_factory=dict)
    _known: dict[Path, Known | None] = field(default_factory=dict)
    _currencies: dict[Path, str] = field(default_factory=dict)

    @property
    def known(self) -> dict[str, Known]:
        """The tariffs that were read and are right, by the name that tenants and plans have for them."""
        return {file.name: known for file, known in self._known.items() if known is not None}

    def find(
        self, name: str, currency: str, charge_unit_micros: int, asker: Document[Any], at: KeyPath = ("tariff",)
    ) -> Tariff | None:
        """The tariff that a file asks for, in its currency; None, and problems noted, when it cannot be had."""
        file = self.folder / name
        if not is_file(file):
            asker.wrong(at, f"there is no {file}", "write the file, or name another one of that folder")
            return None
        if file not in self._known:
            self._known[file] = self.read(file)
        known = self._known[file]
        if known is None:
            return None
        if known.currency and known.currency != currency:
            what = f"{name} is in {known.currency}, and the tenant's currency is {currency}"
            asker.wrong(at, what, "name a tariff in the tenant's currency")
            return None
        first = self._currencies.setdefault(file, currency)
        if not known.currency and first != currency:
            what = f"the prices of {name} count as {first} for one tenant and as {currency} for another"
            asker.warn(at, what, f'write currency = "{first}" into {file.with_suffix(".toml").name} beside it')
        return self._in_units(file, known, charge_unit_micros)

    def _in_units(self, file: Path, known: Known, unit_micros: int) -> Tariff | None:
        """The tariff with charges rounded up to whole units of the account, and of the row where that has its own."""
        if unit_micros == 1:
            return known.tariff
        if unit_micros not in known.rounded:
            rounded = self._rounded_to(file, known.tariff, unit_micros)
            if rounded is None:
                return None
            known.rounded[unit_micros] = rounded
        return known.rounded[unit_micros]

    def _rounded_to(self, file: Path, tariff: Tariff, unit_micros: int) -> Tariff | None:
        rates = []
        for rate in tariff.rates:
            try:
                rates.append(replace(rate, charge_unit_micros=lcm(rate.charge_unit_micros, unit_micros)))
            except RateError as error:
                what, _, remedy = str(error).rstrip(".").partition("; ")
                problem = Problem(file, rate.line, error.column, what, remedy)
                if problem not in self.reading.problems:  # another tenant in the same units
                    self.reading.problems.append(problem)
        return Tariff(tariff.name, tuple(rates), tariff.calendar) if len(rates) == len(tariff.rates) else None

    def read(self, file: Path) -> Known | None:
        """A file of any folder; None, and problems noted, when it is wrong."""
        if not is_file(file):
            what = "this is no file" if file.exists() else "this file is missing"
            self.reading.problems.append(Problem(file, None, "", what, "name the CSV of a tariff"))
            return None
        beside = file.with_suffix(".toml")
        document = self.reading.document(beside, TariffFile, "mend or remove the file") if is_file(beside) else None
        calendar = None if document is None else _calendar(document)
        text = self.reading.text(file, MOST_TARIFF_BYTES, "split the tariff, or give the gateway the right to read it")
        if text is None or (document is None and is_file(beside)):
            return None
        stamp = _stamp(text, "" if document is None else document.text)
        before = self.before.get(file.name)
        if before is not None and before.stamp == stamp:
            return before
        content = TariffFile() if document is None else document.content
        try:
            tariff = read_tariff(text, file.name, decimal_comma=content.decimal_comma, calendar=calendar)
        except TariffError as error:
            self._tell(file, error)
            return None
        return Known(tariff, content.currency or "", stamp)

    def _tell(self, file: Path, error: TariffError) -> None:
        for bad in error.problems[:MOST_ROWS_TOLD]:
            what = f"column {bad.column}" if bad.column else "the row or the file"
            problem = Problem(file, bad.line, bad.column, f"{what} is wrong", bad.remedy.rstrip("."))
            self.reading.problems.append(problem)
        untold = len(error.problems) - MOST_ROWS_TOLD
        if untold > 0:
            last = error.problems[-1].line
            self.reading.problems.append(Problem(file, last, "", f"{untold} more are wrong", "mend these first"))


def _stamp(*texts: str) -> str:
    """The same for the same files, and for no others."""
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()


def load_tariff(file: Path) -> Tariff:
    """A tariff by itself, with what stands beside it. Raises ConfigErrors with all that is wrong with it."""
    reading = Reading(file.parent, {})
    known = Tariffs(reading, file.parent).read(file)
    if known is None:
        raise ConfigErrors(tuple(in_order(reading.problems)))
    return known.tariff


def _calendar(document: Document[TariffFile]) -> Calendar | None:
    content = document.content
    if content.time_zone is None:
        if content.bands or content.holidays:
            document.wrong((), "there are bands or holidays, and no time zone", 'write time_zone = "Europe/Berlin"')
        return None
    try:
        return Calendar.parse(content.time_zone, content.bands, content.holidays)
    except CalendarError as error:
        what, _, remedy = str(error).rstrip(".").partition("; ")
        document.wrong((), what, remedy)
        return None
