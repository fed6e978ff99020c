"""What a Dial dials: which trunk, with which number and options."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Final

from gateway.core.doctor.dialplan import arguments, split, variables

# Technologies that lead out of the house where a number goes with them. PJSIP/100 alone is a phone.
_WITH_NUMBER: Final = frozenset({"PJSIP", "SIP", "IAX2", "DAHDI", "ZAP", "KHOMP", "CAPI", "MISDN", "OOH323", "H323"})
_OPTIONS: Final = 2  # the third argument
_LETTER: Final = re.compile(r"[A-Za-z]")


class Reach(StrEnum):
    """Whether a destination is a trunk."""

    TRUNK = "trunk"
    UNKNOWN = "unknown"  # it stands in a variable
    INSIDE = "inside"


@dataclass(frozen=True, slots=True)
class Destination:
    """One of those between the ``&`` of a Dial."""

    text: str
    tech: str
    endpoint: str  # as in the name of its channels
    number: str  # what is dialled there; empty where there is none

    def reach(self, trunks: Sequence[str]) -> Reach:
        """By the patterns of the config; without any, by what it looks like."""
        if "${" in self.tech or not self.tech:
            return Reach.UNKNOWN
        if self.tech.upper() == "LOCAL":
            return Reach.INSIDE
        if "${" in self.endpoint and not self.number:  # a phone, where the extension names it
            return Reach.INSIDE if set(variables(self.endpoint)) == {"EXTEN"} else Reach.UNKNOWN
        if not trunks:
            return Reach.TRUNK if self.number and self.tech.upper() in _WITH_NUMBER else Reach.INSIDE
        ours = [trunk for trunk in trunks if trunk.partition("/")[0].upper() == self.tech.upper()]
        # A group of DAHDI (g1) takes any of its channels.
        is_any = "${" in self.endpoint or self.tech.upper() in {"DAHDI", "ZAP"}
        if is_any:
            return Reach.TRUNK if ours else Reach.INSIDE
        name = f"{self.tech}/{self.endpoint}"
        return Reach.TRUNK if any(fnmatchcase(name, trunk) for trunk in ours) else Reach.INSIDE


@dataclass(frozen=True, slots=True)
class Dial:
    """The arguments of one Dial."""

    destinations: tuple[Destination, ...]
    options: str

    def letters(self) -> set[str]:
        """The options' letters, without what stands in their parentheses or in variables."""
        return set(_LETTER.findall(_flat(self.options)))


def read_dial(data: str) -> Dial:
    """From what stands in Dial's parentheses."""
    parts = arguments(data)
    texts = split(parts[0], "&")
    options = parts[_OPTIONS] if len(parts) > _OPTIONS else ""
    return Dial(tuple(_destination(text.strip()) for text in texts if text.strip()), options)


def _destination(text: str) -> Destination:
    """As ``PJSIP/number@endpoint``, ``PJSIP/endpoint/sip:…``, ``SIP/peer/number``, ``IAX2/user@peer/number``."""
    tech, slash, rest = _cut(text, "/")
    if not slash:
        return Destination(text, "", "", "")
    head, has_path, path = _cut(rest, "/")
    user, has_at, host = _cut(head, "@")
    if tech.upper() == "IAX2":
        return Destination(text, tech, (host if has_at else head).partition(":")[0], path)
    if has_path:
        return Destination(text, tech, head, path)
    return Destination(text, tech, host if has_at else head, user if has_at else "")


def _cut(text: str, separator: str) -> tuple[str, bool, str]:
    first, *rest = split(text, separator, 1)
    return first, bool(rest), rest[0] if rest else ""


def _flat(text: str) -> str:
    kept, depth = "", 0
    for char in text:
        if char in "({":
            depth += 1
        elif char in ")}":
            depth = max(depth - 1, 0)
        elif depth == 0:
            kept += char
    return kept
