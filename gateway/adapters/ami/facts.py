"""Well-shaped events to facts.

What a value must be is told once, in VALUES: ``check`` holds an event that is read in full against it, and
``layouts`` makes it a part of the pattern of those that come after. So whoever makes a fact need not look again.

What many live calls keep alike, a tenant or an accountcode, is interned: it is there once.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from sys import intern
from typing import Final

from gateway.adapters.ami.shapes import ANY, AUTHORIZE, SILENCE, UNIQUEID
from gateway.core.facts import Ask, AskSilenced, ChannelEnded, Direction, Fact, LegAnswered, LegDialled

UP = "6"  # AST_STATE_UP, include/asterisk/channelstate.h
MAX_CAUSE_Q850 = 127
_MICROSECOND_DIGITS = 6  # append_event in main/manager.c: %06ld
_MAX_SECONDS_DIGITS = 11

_TENANT = re.compile(r"[A-Za-z0-9._-]{0,64}")
_DECISIONS = {"refuse": False, "continue": True}
_UNIQUEID = UNIQUEID.pattern
_NONCE = r"[0-9]{1,40}"
_TIMESTAMP = rf"[0-9]{{1,{_MAX_SECONDS_DIGITS}}}\.[0-9]{{{_MICROSECOND_DIGITS}}}"
# All that is read here of any event, and what it must be, as patterns; a header that an event lacks is not looked at.
VALUES: Final[Mapping[str, Mapping[str, str]]] = {
    "FullyBooted": {},
    AUTHORIZE: {
        "Timestamp": _TIMESTAMP, "Uniqueid": _UNIQUEID, "Linkedid": _UNIQUEID, "Nonce": _NONCE,
        "Number": r"[0-9+*#]{1,64}", "Tenant": _TENANT.pattern, "CLI": r"[0-9+]{0,64}", "AccountCode": ANY,
        "Legs": r"[1-9]", "Direction": r"(?:in|out)bound", "ChannelState": r"[0-9]{1,2}",
    },
    SILENCE: {"Timestamp": _TIMESTAMP, "Uniqueid": _UNIQUEID, "Nonce": _NONCE, "Decision": ANY},
    "DialBegin": {
        "Timestamp": _TIMESTAMP, "Uniqueid": _UNIQUEID, "DestUniqueid": _UNIQUEID, "DestLinkedid": _UNIQUEID,
        "DestChannel": ANY, "DialString": ANY, "DestAccountCode": ANY,
    },
    "DialEnd": {"Timestamp": _TIMESTAMP, "DestUniqueid": _UNIQUEID, "DialStatus": ANY},
    "Newstate": {"Timestamp": _TIMESTAMP, "Uniqueid": _UNIQUEID, "ChannelState": ANY, "Channel": ANY},
    "Hangup": {"Timestamp": _TIMESTAMP, "Uniqueid": _UNIQUEID, "Cause": r"[0-9]{1,3}"},
}  # fmt: skip
_CHECKS = {
    kind: [(header, re.compile(value)) for header, value in values.items() if value is not ANY]
    for kind, values in VALUES.items()
}


@dataclass(frozen=True, slots=True)
class Booted:
    """FullyBooted: the PBX takes calls. Stays within the adapter."""


Reading = Fact | Booted


def timestamp_us(text: str) -> int:
    """``1732290000.123456`` in microseconds, without a float's loss. Raises ValueError."""
    seconds, _, fraction = text.partition(".")
    digits = seconds + fraction
    has_the_size = len(fraction) == _MICROSECOND_DIGITS and 0 < len(seconds) <= _MAX_SECONDS_DIGITS
    if not (has_the_size and digits.isascii() and digits.isdigit()):
        raise ValueError("a Timestamp that is none")
    return int(digits)


def check(kind: str, headers: Mapping[str, str]) -> None:
    """Raises ValueError for a value that cannot be."""
    for header, pattern in _CHECKS[kind]:
        value = headers.get(header)
        if value is not None and pattern.fullmatch(value) is None:
            raise ValueError(f"a {header} that cannot be")


def _accountcode(text: str) -> str:
    """One that names no tenant is no forgery: an admin may use it for something else."""
    return text if _TENANT.fullmatch(text) else ""


class Interpreter:
    """Makes facts of one switch's checked events; ``now_ms`` stands in where the PBX sends no Timestamp."""

    def __init__(self, switch: str, now_ms: Callable[[], int], tell_no_timestamps: Callable[[], None]) -> None:
        self._switch = switch
        self._now_ms = now_ms
        self._tell_no_timestamps = tell_no_timestamps
        self._makers: dict[str, Callable[[Mapping[str, str]], Reading | None]] = {
            "FullyBooted": lambda _: Booted(),
            AUTHORIZE: self._ask,
            SILENCE: self._silence,
            "DialBegin": self._dial_begin,
            "DialEnd": self._dial_end,
            "Newstate": self._newstate,
            "Hangup": self._hangup,
        }

    def __call__(self, kind: str, headers: Mapping[str, str]) -> Reading | None:
        """None when the event tells nothing that matters. Raises ValueError for an event that makes no sense."""
        return self._makers[kind](headers)

    def _at_ms(self, headers: Mapping[str, str]) -> int:
        text = headers.get("Timestamp")
        if text is None:
            self._tell_no_timestamps()
            return self._now_ms()
        return int(text.replace(".", "")) // 1000

    def _ask(self, headers: Mapping[str, str]) -> Ask:
        direction = Direction(headers.get("Direction") or Direction.OUTBOUND)  # an include of before does not tell
        uniqueid, linkedid = headers["Uniqueid"], headers["Linkedid"]
        return Ask(
            switch=self._switch,
            uniqueid=uniqueid,
            nonce=headers["Nonce"],
            number=headers["Number"],
            tenant=intern(headers["Tenant"]),
            accountcode=intern(_accountcode(headers["AccountCode"])),
            cli=headers["CLI"],
            at_ms=self._at_ms(headers),
            linkedid=uniqueid if linkedid == uniqueid else linkedid,  # a live call keeps the text once
            # Nor one of before forks. A channel that came in is one leg.
            legs=1 if direction is Direction.INBOUND else int(headers.get("Legs") or 1),
            direction=direction,
            is_up=headers["ChannelState"] == UP,
        )

    def _silence(self, headers: Mapping[str, str]) -> AskSilenced:
        continued = _DECISIONS.get(headers["Decision"])
        if continued is None:
            raise ValueError("a CallGateSilence with a Decision that is neither refuse nor continue")
        return AskSilenced(
            uniqueid=headers["Uniqueid"],
            nonce=headers["Nonce"],
            continued=continued,
            at_ms=self._at_ms(headers),
        )

    def _dial_begin(self, headers: Mapping[str, str]) -> LegDialled:
        # No caller: an Originate. The session decides what to do with a leg that nobody asked for.
        return LegDialled(
            caller=headers.get("Uniqueid") or "",
            leg=headers["DestUniqueid"],
            leg_name=headers["DestChannel"],
            dial_string=headers["DialString"],
            at_ms=self._at_ms(headers),
            linkedid=headers["DestLinkedid"],
            accountcode=intern(_accountcode(headers["DestAccountCode"])),
        )

    def _dial_end(self, headers: Mapping[str, str]) -> LegAnswered | None:
        if headers["DialStatus"] != "ANSWER":
            return None
        return LegAnswered(leg=headers["DestUniqueid"], at_ms=self._at_ms(headers))

    def _newstate(self, headers: Mapping[str, str]) -> LegAnswered | None:
        if headers["ChannelState"] != UP:
            return None
        return LegAnswered(leg=headers["Uniqueid"], at_ms=self._at_ms(headers), name=headers["Channel"])

    def _hangup(self, headers: Mapping[str, str]) -> ChannelEnded:
        return ChannelEnded(
            uniqueid=headers["Uniqueid"],
            cause_q850=min(int(headers["Cause"]), MAX_CAUSE_Q850),
            at_ms=self._at_ms(headers),
        )
