"""Guards: what a hacked phone does before and while it costs money, and what happens then.

Rules:

- Three of them count: asks that a rule refused, calls that were short, and numbers dialled in a row (both are how
  fraudsters test a route). One that trips tells by an event; where it says so it also pauses its target, for a time or
  until a person lifts that (quarantine).
- Lack of credit is no fraud: those refusals are not counted, nor those of a pause itself.
- A destination's prefix is that of the tariff's row. A guard looks only at calls of its classes and prefixes: at home,
  short calls and numbers in a row are no sign of fraud.
- A pause refuses asks. Quarantine also ends live calls at the end of their grants.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from gateway.core.curbs import Trigger
from rating import CallClass, Destination, Prefixes

TENANT_PAUSE = "tenant"
_NOT_OF_A_CLI: Final = re.compile(r"[^0-9]")
_MOST_CLI: Final = 32


class Target(StrEnum):
    """What a tripped guard pauses."""

    TENANT = "tenant"
    CLI = "cli"
    PREFIX = "prefix"


@dataclass(frozen=True, slots=True)
class Guard:
    """One that counts. ``pause_seconds``: None: it only tells; 0: until a person lifts it."""

    name: str
    count: int
    window_seconds: int
    target: Target
    pause_seconds: int | None
    classes: frozenset[CallClass] = frozenset()  # with no prefixes either: all calls
    prefixes: Prefixes = Prefixes()  # noqa: RUF009 - frozen

    def watches(self, destination: Destination) -> bool:
        """Whether calls to a destination are looked at."""
        if not self.classes and not self.prefixes:
            return True
        return destination.call_class in self.classes or bool(self.prefixes.longest(destination.e164))

    def trigger(self, cli: str, prefix: str) -> Trigger:
        """The guard as the ledger counts it for one call."""
        pause_ms = None if self.pause_seconds is None else self.pause_seconds * 1000
        return Trigger(
            self.name, pause_name(self.target, cli, prefix), self.count, self.window_seconds * 1000, pause_ms
        )


@dataclass(frozen=True, slots=True)
class Guards:
    """A tenant's guards; None where one is off."""

    refusals: Guard | None = None
    short_calls: Guard | None = None
    shorter_than_seconds: int = 0
    sequence: Guard | None = None
    tells_new_country: bool = False
    holds_new_country: bool = False
    known_countries: frozenset[str] = frozenset()  # ISO 3166; or a code that is no country's, as +881


NO_GUARDS = Guards()


def pause_name(target: Target, cli: str, prefix: str) -> str:
    """What is paused, as the ledger names it."""
    if target is Target.TENANT:
        return TENANT_PAUSE
    return cli_pause(cli) if target is Target.CLI else f"prefix:{prefix}"


def cli_of(text: str) -> str:
    """The caller ID that counts and pauses are kept by: the digits of a caller's own word, or a person's.

    Without its +, which phones put there or not: one who is in quarantine does not get out by it.
    """
    return _NOT_OF_A_CLI.sub("", text)[:_MOST_CLI]


def cli_pause(cli: str) -> str:
    """The pause of one caller."""
    return f"cli:{cli}"


def pause_meant(text: str) -> str:
    """The pause that a person names; "": none.

    ``tenant``, ``cli:NUMBER``, ``prefix:DIGITS``, a caller's number alone, or ``cli:``, which is who shows no number.
    """
    if text in {TENANT_PAUSE, cli_pause("")}:
        return text
    kind, _, number = text.rpartition(":")
    digits = cli_of(number)
    if not digits or kind not in {"", "cli", "prefix"}:
        return ""
    return f"prefix:{digits}" if kind == "prefix" else cli_pause(digits)
