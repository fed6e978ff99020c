"""A list of prefixes of E.164 numbers: which of them a number begins with.

A list may have thousands (the high-risk lists that carriers hand out): a look costs one hash for each length that
occurs in the list, however long it is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from rating._quote import quoted
from rating.e164 import MOST_E164_DIGITS

if TYPE_CHECKING:
    from collections.abc import Iterable

_PREFIX: Final = re.compile(rf"[1-9][0-9]{{0,{MOST_E164_DIGITS - 1}}}")


class PrefixError(ValueError):
    """What begins no E.164 number, in one sentence that says what to write instead."""


@dataclass(frozen=True, slots=True)
class Prefixes:
    """Prefixes without their +; `of` makes them from text, checked. False when there are none."""

    digits: frozenset[str] = frozenset()
    _lengths: tuple[int, ...] = field(init=False, repr=False, compare=False, default=())

    def __post_init__(self) -> None:
        object.__setattr__(self, "_lengths", tuple(sorted({len(each) for each in self.digits}, reverse=True)))

    @classmethod
    def of(cls, texts: Iterable[str]) -> Prefixes:
        """Make a list.

        Raises:
            PrefixError: one begins no E.164 number.
        """
        digits = frozenset(texts)
        for each in sorted(digits):
            if _PREFIX.fullmatch(each) is None:
                raise PrefixError(f"{quoted(each)} begins no number; write 1 to 15 digits from the country code on.")
        return cls(digits)

    def longest(self, e164: str) -> str:
        """Return the longest prefix that a number, with or without its +, begins with; "" for none."""
        number = e164.removeprefix("+")
        for length in self._lengths:
            if number[:length] in self.digits:
                return number[:length]
        return ""

    def __bool__(self) -> bool:
        return bool(self.digits)

    def __len__(self) -> int:
        return len(self.digits)
