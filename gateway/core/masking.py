"""Telephone numbers as those may see them who must not know whom somebody calls.

Shown are the country code and the last two digits: where a call went, and which of two calls at a time it is. At least
four digits are hidden, ten thousand numbers that it may be; of a shorter rest nothing is shown, as it may be an
extension, which names a person. What is no number at all (a name as caller ID) is hidden as a whole.
"""

import re
from typing import Final

from rating import split_country_code

NUMBERS: Final = frozenset({"cli", "dialled", "e164", "number", "target"})
"""What holds a number, by its name in log and traces."""
HIDDEN: Final = "***"
_SHOWN: Final = 2
_LEAST_HIDDEN: Final = 4
# What is left: a Uniqueid (Unix seconds and a counter), and the counter at the end of a channel's name, in hex.
_LEFT: Final = r"[12][0-9]{9}\.[0-9]{1,10}(?![0-9])|(?<=-)0[0-9a-f]{7}(?![0-9a-f])"
# And what is long enough for a number of the public network.
_IN_TEXT: Final = re.compile(rf"(?<![0-9])(?:({_LEFT})|\+?[0-9]{{7,}})")


def masked(number: str) -> str:
    """A number without what tells whose it is; empty stays empty. Its country code is known after a ``+`` alone."""
    plus, digits = number[: number.startswith("+")], number.removeprefix("+")
    if not (digits.isascii() and digits.isdigit()):
        return HIDDEN if number else ""
    split = split_country_code(digits) if plus else None
    code = str(split[0]) if split else ""
    rest = digits[len(code) :]
    shown = rest[-_SHOWN:] if len(rest) >= _SHOWN + _LEAST_HIDDEN else ""
    return f"{plus}{code}{'*' * (len(rest) - len(shown))}{shown}"


def masked_in(text: str) -> str:
    """A text whose numbers are masked: all runs of seven digits and more but Uniqueids and channels' counters."""
    return _IN_TEXT.sub(lambda found: found[0] if found[1] else masked(found[0]), text)
