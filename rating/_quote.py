"""Hostile text in an error sentence: short, printable, and never able to forge a log line."""

from __future__ import annotations

_MOST_CHARACTERS = 40


def quoted(text: str) -> str:
    """Quote `text` as printable ASCII, cut to 40 characters of the original."""
    if len(text) <= _MOST_CHARACTERS:
        return ascii(text)
    return ascii(text[:_MOST_CHARACTERS]) + "..."
