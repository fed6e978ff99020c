"""What the doctor says: one thing that was found, its place and its remedy."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

_MOST_DIGITS: Final = 9
MOST_SHOWN: Final = 300  # characters of what came from elsewhere


class Severity(StrEnum):
    """How much it matters; they are told in this order."""

    ERROR = "error"  # calls are not gated, money is at stake, or somebody else can get at it
    WARNING = "warning"  # it works, and is not as it should be
    NOTE = "note"  # nothing to mend: what could not be looked at, what is to be known


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing. ``check`` is its name in gateway/cli/DOCTOR.md.

    ``where`` is context,extension,priority, or file:line, or a key.
    """

    severity: Severity
    check: str
    what: str
    where: str
    remedy: str

    def __str__(self) -> str:
        """One line, whatever came from elsewhere."""
        what = f"{self.what}; {self.remedy}" if self.remedy else self.what
        return printable(f"{self.severity}: [{self.check}] {self.where}: {what}")


def error(check: str, what: str, where: str, remedy: str) -> Finding:
    """Something that must be mended."""
    return Finding(Severity.ERROR, check, what, where, remedy)


def warning(check: str, what: str, where: str, remedy: str) -> Finding:
    """Something that ought to be mended."""
    return Finding(Severity.WARNING, check, what, where, remedy)


def note(check: str, what: str, where: str, remedy: str = "") -> Finding:
    """Something to be known."""
    return Finding(Severity.NOTE, check, what, where, remedy)


def in_order(findings: Iterable[Finding]) -> list[Finding]:
    """The worst first, each once; otherwise as they were found."""
    ranks = {severity: rank for rank, severity in enumerate(Severity)}
    return sorted(dict.fromkeys(findings), key=lambda finding: ranks[finding.severity])


def exit_code(findings: Iterable[Finding]) -> int:
    """2 where there is an error, 1 where there is a warning, else 0: as monitoring plug-ins have it."""
    found = {finding.severity for finding in findings}
    return 2 if Severity.ERROR in found else 1 if Severity.WARNING in found else 0


def printable(text: str) -> str:
    """Text without what a terminal would obey: a dialplan, a greeting and an error are others' words."""
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


def whole(text: str) -> int | None:
    """A whole number of at most nine digits, or None: what a PBX calls a number may be anything."""
    return int(text) if 1 <= len(text) <= _MOST_DIGITS and text.isascii() and text.isdecimal() else None


def short(text: str, most: int = MOST_SHOWN) -> str:
    """Others' words, cut where they are long."""
    return text if len(text) <= most else f"{text[:most]}…"
