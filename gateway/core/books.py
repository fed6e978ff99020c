"""What the ledger answers. These are facts to the call's state machine, as the switch's are.

Money is ``int`` micro-units of the account's currency; seconds are whole and counted from the answer.
"""

from dataclasses import dataclass

from gateway.core.reasons import Reason


@dataclass(frozen=True, slots=True)
class Pool:
    """Included time that a step may draw on before money.

    ``spare_seconds``: None where the blocks are certain. A number where they are not before the answer: a rung is then
    included as a whole, with so many seconds more for what an answer may make of its last block.
    """

    name: str
    period: str  # a month, as 2026-11: what is not used returns to it
    size_seconds: int
    spare_seconds: int | None = None
    covered_micros: int = 0  # what the included seconds of before take off a longer call's charge, without the fee


@dataclass(frozen=True, slots=True)
class Grant:
    """Seconds granted since the start of the call, all of them paid for by what is held or charged."""

    granted_seconds: int
    held_micros: int  # what this call holds now
    available_micros: int  # balance - held + credit limit, of the account, after this step
    is_short: bool  # less than the ladder's last rung was affordable
    has_outbox: bool  # this step wrote to the outbox
    included_seconds: int = 0  # taken from the pool for this call, in all


@dataclass(frozen=True, slots=True)
class Refused:
    """Nothing was granted; nothing changed but, perhaps, the outbox."""

    reason: Reason
    has_outbox: bool = False
    limit: str = ""  # the name of the limit or guard that refused; empty for credit
    used: int = 0  # of what it counts, before this call
    most: int = 0


@dataclass(frozen=True, slots=True)
class Settled:
    """The books of a call after its settle, release or estimate."""

    charged_micros: int  # of the whole call
    seconds: int
    balance_micros: int
    is_estimate: bool
    has_outbox: bool
