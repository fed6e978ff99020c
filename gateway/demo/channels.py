"""What a simulated PBX has: channels, and calls with their outcome."""

from asyncio import Future, TimerHandle
from dataclasses import dataclass, field
from enum import StrEnum

DOWN, RING, RINGING, UP = 0, 4, 5, 6
STATE_TEXT = {DOWN: "Down", RING: "Ring", RINGING: "Ringing", UP: "Up"}


class End(StrEnum):
    """How a call ended."""

    DENIED = "denied"  # the dialplan refused it before anything rang
    UNANSWERED = "unanswered"  # the far end rang and nobody answered
    HUNG_UP = "hung_up"  # one of the two people
    CUT = "cut"  # the PBX itself, at the end of the paid time
    KICKED = "kicked"  # a Hangup action
    STOPPED = "stopped"  # the PBX went away


@dataclass(frozen=True, slots=True)
class Outcome:
    """The PBX's own record of a call, to hold the gateway's against."""

    end: End
    reason: str  # CALLGATE_REASON of a refusal; empty else
    cause_q850: int
    talked_ms: int  # from the answer to the end of the outbound leg; 0 when never answered


@dataclass(slots=True)
class Channel:
    """One channel as AMI shows it. Times are those of the event loop, in seconds."""

    name: str
    uniqueid: str
    linkedid: str
    number: str  # CallerIDNum
    connected: str  # ConnectedLineNum
    context: str
    created_at: float
    accountcode: str = ""
    exten: str = ""
    priority: int = 1
    application: str = ""
    data: str = ""
    state: int = DOWN
    hangup_at: float = 0.0  # the cap; 0: none
    cap: TimerHandle | None = None
    variables: dict[str, str] = field(default_factory=dict)
    call: "Call | None" = None


@dataclass(slots=True, eq=False)
class Call:
    """One phone's dial, from the ask to the end. ``outcome`` is resolved when the last channel is gone."""

    tenant: str  # the Gosub's second argument
    number: str
    ring_seconds: float
    talk_seconds: float
    is_answered: bool  # what the far end will do
    outcome: "Future[Outcome]"
    caller: Channel
    leg: Channel | None = None
    nonce: str = ""  # of the ask that waits; empty when none does
    timer: TimerHandle | None = None  # of the phase: wait, ring or talk
    cap_ms: int = 0  # L() of the Dial; 0: none
    answered_at: float = 0.0
    reason: str = ""
    is_reversed: bool = False  # Ringing before DialBegin, the caller's Hangup before the leg's
