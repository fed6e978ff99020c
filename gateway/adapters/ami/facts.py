"""Well-shaped events to facts. Every value is checked here; a value that cannot be raises ValueError."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from gateway.adapters.ami.shapes import AUTHORIZE, SILENCE, UNIQUEID
from gateway.core.facts import Ask, AskSilenced, ChannelEnded, Fact, LegAnswered, LegDialled

UP = "6"  # AST_STATE_UP, include/asterisk/channelstate.h
MAX_CAUSE_Q850 = 127
_MICROSECOND_DIGITS = 6  # append_event in main/manager.c: %06ld
_MAX_SECONDS_DIGITS = 11

_NUMBER = re.compile(r"[0-9+*#]{1,64}")
_CLI = re.compile(r"[0-9+]{0,64}")
_TENANT = re.compile(r"[A-Za-z0-9._-]{0,64}")
_NONCE = re.compile(r"[0-9]{1,40}")
_CAUSE = re.compile(r"[0-9]{1,3}")
# All that is read here of any event.
HEADERS = frozenset(
    {
        "Timestamp", "Uniqueid", "Linkedid", "AccountCode", "ChannelState", "Nonce", "Number", "Tenant", "CLI",
        "Decision", "DestUniqueid", "DestLinkedid", "DestChannel", "DialString", "DialStatus", "Cause",
    }
)  # fmt: skip
_DECISIONS = {"refuse": False, "continue": True}


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


class Interpreter:
    """Makes facts of one switch's events; ``now_ms`` stands in where the PBX sends no Timestamp."""

    def __init__(self, switch: str, now_ms: Callable[[], int], tell_no_timestamps: Callable[[], None]) -> None:
        self._switch = switch
        self._now_ms = now_ms
        self._tell_no_timestamps = tell_no_timestamps
        self._makers: dict[str, Callable[[dict[str, str]], Fact | None]] = {
            AUTHORIZE: self._ask,
            SILENCE: self._silence,
            "DialBegin": self._dial_begin,
            "DialEnd": self._dial_end,
            "Newstate": self._newstate,
            "Hangup": self._hangup,
        }

    def __call__(self, kind: str, headers: dict[str, str]) -> Reading | None:
        """None when the event tells nothing that matters. Raises ValueError for a value that cannot be."""
        if kind == "FullyBooted":
            return Booted()
        return self._makers[kind](headers)

    def _at_ms(self, headers: dict[str, str]) -> int:
        text = headers.get("Timestamp")
        if text is None:
            self._tell_no_timestamps()
            return self._now_ms()
        return timestamp_us(text) // 1000

    def _ask(self, headers: dict[str, str]) -> Ask:
        accountcode = headers["AccountCode"]
        return Ask(
            switch=self._switch,
            uniqueid=_checked(UNIQUEID, headers, "Uniqueid"),
            nonce=_checked(_NONCE, headers, "Nonce"),
            number=_checked(_NUMBER, headers, "Number"),
            tenant=_checked(_TENANT, headers, "Tenant"),
            # An accountcode that names no tenant is no forgery: an admin may use it for something else.
            accountcode=accountcode if _TENANT.fullmatch(accountcode) else "",
            cli=_checked(_CLI, headers, "CLI"),
            at_ms=self._at_ms(headers),
            linkedid=_checked(UNIQUEID, headers, "Linkedid"),
        )

    def _silence(self, headers: dict[str, str]) -> AskSilenced:
        continued = _DECISIONS.get(headers["Decision"])
        if continued is None:
            raise ValueError("a CallGateSilence with a Decision that is neither refuse nor continue")
        return AskSilenced(
            uniqueid=_checked(UNIQUEID, headers, "Uniqueid"),
            nonce=_checked(_NONCE, headers, "Nonce"),
            continued=continued,
            at_ms=self._at_ms(headers),
        )

    def _dial_begin(self, headers: dict[str, str]) -> LegDialled:
        # No caller: an Originate. The session decides what to do with a leg that nobody asked for.
        return LegDialled(
            caller=_checked(UNIQUEID, headers, "Uniqueid") if "Uniqueid" in headers else "",
            leg=_checked(UNIQUEID, headers, "DestUniqueid"),
            leg_name=headers["DestChannel"],
            dial_string=headers["DialString"],
            at_ms=self._at_ms(headers),
            linkedid=_checked(UNIQUEID, headers, "DestLinkedid"),
        )

    def _dial_end(self, headers: dict[str, str]) -> LegAnswered | None:
        if headers["DialStatus"] != "ANSWER":
            return None
        return LegAnswered(leg=_checked(UNIQUEID, headers, "DestUniqueid"), at_ms=self._at_ms(headers))

    def _newstate(self, headers: dict[str, str]) -> LegAnswered | None:
        if headers["ChannelState"] != UP:
            return None
        return LegAnswered(leg=_checked(UNIQUEID, headers, "Uniqueid"), at_ms=self._at_ms(headers))

    def _hangup(self, headers: dict[str, str]) -> ChannelEnded:
        return ChannelEnded(
            uniqueid=_checked(UNIQUEID, headers, "Uniqueid"),
            cause_q850=min(int(_checked(_CAUSE, headers, "Cause")), MAX_CAUSE_Q850),
            at_ms=self._at_ms(headers),
        )


def _checked(pattern: re.Pattern[str], headers: dict[str, str], header: str) -> str:
    value = headers[header]
    if pattern.fullmatch(value) is None:
        raise ValueError(f"a {header} that cannot be")
    return value
