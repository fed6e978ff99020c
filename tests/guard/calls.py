"""The events of calls: those of a recorded one (``tests/replay/traces``), with other names, numbers and times."""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from gateway.adapters.ami.messages import END

TRACE: Final = Path(__file__).parents[1] / "replay" / "traces" / "answered.events.ami"
DIALLED: Final = b"18005551212"
NUMBER: Final = b"011442079460000"
# Of the recording: the greeting and the login's answer are the connection's, and so is the last ping's.
ASK, DIAL_BEGIN, RINGING, UP, DIAL_END, CALLER_UP, CALLER_ENDED, LEG_ENDED = range(8)
_FIRST: Final = 2


@dataclass(frozen=True)
class Phones:
    """The two channels of a call, and who pays."""

    number: int
    tenant: str = "acme"

    @property
    def caller(self) -> str:
        """Uniqueid of the channel that asks."""
        return f"1795364079.{2 * self.number}"

    @property
    def leg(self) -> str:
        """Uniqueid of the channel that is dialled."""
        return f"1795364079.{2 * self.number + 1}"

    def tell(self, stamp: str, *which: int) -> bytes:
        """Events of this call, in one chunk."""
        names = {
            "at": stamp,
            "caller": self.caller,
            "leg": self.leg,
            "nonce": str(728830125415199003 + self.number),
            "tenant": self.tenant,
        }
        words = {name.encode(): value.encode() for name, value in names.items()}
        return b"".join([_templates()[one] % words for one in which])


@cache
def _templates() -> list[bytes]:
    frames = TRACE.read_bytes().split(END)[_FIRST : _FIRST + 8]
    return [_template(frame) + END for frame in frames]


def _template(frame: bytes) -> bytes:
    frame = frame.replace(b"%", b"%%").replace(DIALLED, NUMBER)
    for pattern, name in (
        (rb"(?m)^(Timestamp: )[^\r]*", b"%(at)s"),
        (rb"(?m)(: )1795364079\.0(?=\r|$)", b"%(caller)s"),
        (rb"(?m)(: )1795364079\.1(?=\r|$)", b"%(leg)s"),
        (rb"(?m)^(Nonce: )[^\r]*", b"%(nonce)s"),
        (rb"(?m)^(Tenant: )[^\r]*", b"%(tenant)s"),
    ):
        frame = re.sub(pattern, rb"\1" + name, frame)
    return frame
