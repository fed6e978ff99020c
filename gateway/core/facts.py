"""What a switch tells: checked, typed, in order.

An adapter turns the events of a PBX into these facts, and nothing else crosses the border. Times are the PBX's own
clock in milliseconds since the epoch (the ``Timestamp`` header of AMI), used only as differences; channels are
named by their Uniqueid.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum

# The nonce of an ask that the gateway made up for a leg that nobody asked for: no dialplan's, as those are digits.
UNASKED = "unasked"


class Direction(StrEnum):
    """Which way a call goes, as its payer sees it."""

    OUTBOUND = "outbound"  # the channel asks for a leg that it is about to dial
    INBOUND = "inbound"  # it came in on an owned number and is itself the leg that costs money


@dataclass(frozen=True, slots=True)
class Ask:
    """A channel holds its dial, or its answer, and asks for credit (``UserEvent(CallGateAuthorize)``)."""

    switch: str
    uniqueid: str
    nonce: str
    number: str
    tenant: str  # the Gosub's argument; empty: the accountcode decides
    accountcode: str
    cli: str
    at_ms: int
    linkedid: str = ""  # of the asker: a leg behind a Local channel carries the same

    legs: int = 1  # how many of them may answer: a Dial to several trunks at once
    direction: Direction = Direction.OUTBOUND
    is_up: bool = False  # the channel was answered before it asked

    @property
    def call_id(self) -> str:
        """``switch/uniqueid/nonce``: two switches can make the same Uniqueid, and one channel can ask more than once.

        Put together anew each time: each live call would keep it, and it is used a few times in a call's life.
        """
        return f"{self.switch}/{self.uniqueid}/{self.nonce}"

    @property
    def is_inbound(self) -> bool:
        """For a call to an owned number: its owner pays, whoever the channel belongs to."""
        return self.direction is Direction.INBOUND

    @property
    def came_in_on(self) -> str:
        """The number of a call that came in, as its owner would write it (E.164); empty of one that goes out."""
        return f"+{self.number.removeprefix('+')}" if self.is_inbound else ""

    @property
    def is_own_leg(self) -> bool:
        """The channel that stands for the caller is itself the leg that costs money."""
        return self.is_inbound or self.is_unasked

    @property
    def is_waited_for(self) -> bool:
        """A dialplan waits for the verdict: its nonce is of digits alone."""
        return self.nonce.isdigit()

    @property
    def is_spare(self) -> bool:
        """For a further leg of another ask (``service/fork.py``)."""
        return "." in self.nonce

    @property
    def is_unasked(self) -> bool:
        """Nobody asked: the leg itself stands in for the caller, and no dialplan waits (``core/unasked.py``)."""
        return self.nonce == UNASKED


@dataclass(frozen=True, slots=True)
class AskSilenced:
    """The dialplan waited in vain and did what its admin chose (``UserEvent(CallGateSilence)``)."""

    uniqueid: str
    nonce: str
    continued: bool  # True: it dials on with a fixed cap of its own
    at_ms: int


@dataclass(frozen=True, slots=True)
class LegDialled:
    """An outbound leg was created for a caller's Dial (``DialBegin``)."""

    caller: str
    leg: str
    leg_name: str  # PJSIP/carrier-00000007
    dial_string: str
    at_ms: int
    linkedid: str = ""  # the first channel of the call: ties a leg behind a Local channel to its asker
    accountcode: str = ""  # the leg's, inherited from its caller


@dataclass(frozen=True, slots=True)
class LegAnswered:
    """A channel is Up (``Newstate`` 6, or, for an outbound leg, ``DialEnd`` ANSWER as the fall-back)."""

    leg: str
    at_ms: int
    name: str = ""  # PJSIP/carrier-00000007; empty where it was not told


@dataclass(frozen=True, slots=True)
class ChannelEnded:
    """A channel is gone: a well-formed ``Hangup``, or ``Status`` said that there is none."""

    uniqueid: str
    cause_q850: int
    at_ms: int


@dataclass(frozen=True, slots=True)
class LinkUp:
    """The link to the switch is up, whole, and what happened before it is unknown: look with ``Status``."""

    restarted: bool  # True: the PBX itself began anew; no channel of before is left


@dataclass(frozen=True, slots=True)
class LinkDown:
    """The link to the switch is gone. No call is ended by this: unknown is not gone."""

    why: str


@dataclass(frozen=True, slots=True)
class Doubt:
    """Something forged or broken came in and was dropped. Ask ``Status`` for the channels it may have named."""

    uniqueids: tuple[str, ...]
    why: str


@dataclass(frozen=True, slots=True)
class Moved:
    """Channels changed places (a transfer, a pickup, parking, a Local channel that is gone): do their caps stand?"""

    uniqueids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ClockSet:
    """The PBX's clock was set: from here on, times are by the new one."""

    by_ms: int  # negative: back


Fact = Ask | AskSilenced | LegDialled | LegAnswered | ChannelEnded | LinkUp | LinkDown | Doubt | Moved | ClockSet


@dataclass(frozen=True, slots=True)
class ChannelStatus:
    """One channel as ``Status`` lists it."""

    uniqueid: str
    linkedid: str
    name: str
    is_up: bool  # ChannelState 6
    hangup_at_ms: int  # TimeToHangup, absolute; 0: no cap by AbsoluteTimeout
    accountcode: str = ""
    dnid: str = ""  # the number with which it came in; a leg that Dial or Originate made has none
    variables: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_inbound(self) -> bool:
        """It came in: nothing here dialled it."""
        return bool(self.dnid)

    @property
    def answered_at_ms(self) -> int:
        """When it was answered, from its own CDR (``CDR(answer,u)``: seconds with a fraction); 0 where unknown."""
        try:
            return int(Decimal(self.variables.get("CDR(answer,u)", "") or "0") * 1000)
        except ArithmeticError:
            return 0
