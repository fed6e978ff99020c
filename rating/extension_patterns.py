"""Asterisk extension patterns, as far as they are bounded.

Rules of this file (Asterisk's `pbx.c`, "extension matching"):

- Without a leading `_` a pattern is one number. With it, `X` is any digit, `Z` is 1 to 9, `N` is 2 to 9, and
  `[2-59]` is any of the characters and ranges in it; other digits, `+`, `*` and `#` stand for themselves.
- `.` and `!` match without bound, so one of them could declare a premium number internal: refused.
- A `-` outside of brackets, which Asterisk skips over, is refused: two readers would see two patterns.
"""

from __future__ import annotations

import re
from typing import Final

from rating._quote import quoted

_MOST_CHARACTERS: Final = 80
_LITERAL: Final = re.compile(r"[0-9+*#]+")
_TOKEN: Final = re.compile(r"(?P<symbol>[XZN])|(?P<literal>[0-9+*#])|\[(?P<members>(?:[0-9]-[0-9]|[0-9*#])+)\]")
_SYMBOLS: Final = {"X": "[0-9]", "Z": "[1-9]", "N": "[2-9]"}


class PatternError(ValueError):
    """An extension pattern that cannot be taken, in one sentence that says what to write instead."""


def compile_pattern(pattern: str) -> str:
    """Translate an extension pattern into a regular expression for `re.fullmatch`.

    Raises:
        PatternError: the pattern is empty, too long, unbounded, or not in the syntax above.
    """
    if len(pattern) > _MOST_CHARACTERS:
        raise PatternError(f"The pattern {quoted(pattern)} has more than {_MOST_CHARACTERS} characters; shorten it.")
    if not pattern.startswith("_"):
        if _LITERAL.fullmatch(pattern) is None:
            raise PatternError(f"{quoted(pattern)} is no extension; write digits, or a pattern that begins with _.")
        return re.escape(pattern)
    body = pattern[1:].upper()
    if "." in body or "!" in body:
        raise PatternError(f"The pattern {quoted(pattern)} is unbounded; write one X for each digit, not . or !.")
    tokens = list(_TOKEN.finditer(body))
    if not tokens or "".join(token[0] for token in tokens) != body:
        raise PatternError(f"The pattern {quoted(pattern)} is not understood; use digits, X, Z, N and [2-5].")
    return "".join(_expression(token, pattern) for token in tokens)


def _expression(token: re.Match[str], pattern: str) -> str:
    """Translate one element of `pattern`."""
    if token["symbol"]:
        return _SYMBOLS[token["symbol"]]
    if token["literal"]:
        return re.escape(token["literal"])
    for low, high in re.findall(r"([0-9])-([0-9])", token["members"]):
        if low > high:
            raise PatternError(f"The range {low}-{high} in {quoted(pattern)} runs backwards; write {high}-{low}.")
    return f"[{token['members']}]"
