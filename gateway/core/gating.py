"""Whether calls are being gated, in one word: what a wall is looked at for."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Gating(StrEnum):
    """The word."""

    GATING = "gating"  # each switch is heard by the gateway that owns it, and the ledger answers
    PARTLY = "partly"  # some switches are not: their dialplans decide by themselves
    STANDBY = "standby"  # other gateways do it, and this one would
    NO_LEDGER = "no_ledger"  # each tenant's failure policy decides
    NOT_GATING = "not_gating"  # no switch is heard


@dataclass(frozen=True, slots=True)
class SwitchHealth:
    """One switch, as this gateway has it."""

    name: str
    is_up: bool  # its link
    fault: str  # why it is not
    is_owned: bool  # by this gateway
    owner: str  # the gateway that has it; empty: none
    calls: int
    round_trip_ms: float  # of the last ping
    heard_ms: int  # since the last message
    facts_waiting: int
    asks_waiting: int
    oldest_ask_ms: int
    event_lag_ms: int | None = (
        None  # what 99 of 100 of its last events came within, by its own clock; None: there is none
    )
    clock_ahead_ms: int = 0  # its clock by this machine's

    @property
    def is_gated(self) -> bool:
        """By this gateway, which hears it, or by another one."""
        return self.is_up if self.is_owned else bool(self.owner)


@dataclass(frozen=True, slots=True)
class QueueHealth:
    """What waits, and how much may. ``limit``: None for what is never dropped."""

    name: str
    switch: str
    length: int
    limit: int | None
    dropped: int


@dataclass(frozen=True, slots=True)
class Health:
    """All of it."""

    gateway: str
    switches: tuple[SwitchHealth, ...]
    queues: tuple[QueueHealth, ...]
    ledger_fault: str  # empty: it answers
    ledger_ms: float

    @property
    def word(self) -> Gating:
        """What it comes to."""
        return gating(self.switches, has_ledger=not self.ledger_fault)


def gating(switches: Sequence[SwitchHealth], *, has_ledger: bool) -> Gating:
    """What it comes to."""
    gated = [switch for switch in switches if switch.is_gated]
    if not gated:
        return Gating.NOT_GATING
    if not has_ledger:
        return Gating.NO_LEDGER
    if len(gated) < len(switches):
        return Gating.PARTLY
    return Gating.GATING if any(switch.is_owned for switch in switches) else Gating.STANDBY
