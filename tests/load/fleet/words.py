"""What the fleet writes to AMI: templates of bytes, made of the traces of a real Asterisk (tests/replay/traces).

A template is a recorded message with its values taken out; to fill it in is one ``%`` of bytes. A value has the same
name in all of them (``Facts``), wherever it stood in the recording.
"""

from __future__ import annotations

import re
from functools import cache
from operator import itemgetter
from typing import TYPE_CHECKING, Final, NamedTuple

from tests.lab.build import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Callable

END: Final = b"\r\n\r\n"
GREETING: Final = b"Asterisk Call Manager/11.0.0\r\n"
CLI: Final = b"12125550101"
NONCE_BASE: Final = 10**17  # the include's nonces have 18 digits
_TRACES: Final = REPOSITORY / "tests/replay/traces"


class Facts(NamedTuple):
    """What stands in the messages of one call, besides their time."""

    caller: bytes  # Uniqueid
    leg: bytes  # Uniqueid
    caller_name: bytes
    leg_name: bytes
    dialled: bytes  # by the phone
    number: bytes  # by Dial, from the verdict
    tenant: bytes
    nonce: bytes


_FIELDS: Final = ("stamp", *Facts._fields)


class Template:
    """One message or several of a call."""

    __slots__ = ("_pick", "_text")

    def __init__(self, text: bytes, names: tuple[str, ...]) -> None:
        """``text`` has one %b for each of ``names``: ``stamp``, and those of Facts."""
        assert len(names) > 1, "itemgetter gives a tuple of two or more"
        self._text = text
        self._pick: Callable[[tuple[bytes, ...]], tuple[bytes, ...]] = itemgetter(*map(_FIELDS.index, names))

    def __call__(self, stamp: bytes, facts: Facts) -> bytes:
        """The bytes; all of them have the time of the turn in which they are written."""
        return self._text % self._pick((stamp, *facts))


def of(block: bytes, told: dict[bytes, str]) -> Template:
    """Take these values out of recorded bytes: longer ones first, for one may be a part of another."""
    values = sorted(told, key=len, reverse=True)
    names: list[str] = []

    def take_out(found: re.Match[bytes]) -> bytes:
        names.append(told[found[0]])
        return b"%b"

    text = re.sub(b"|".join(map(re.escape, values)), take_out, block.replace(b"%", b"%%"))
    return Template(text, tuple(names))


@cache
def _recorded(scene: str) -> tuple[bytes, ...]:
    """The events of a recorded scene but FullyBooted, times taken out."""
    blocks = (_TRACES / f"{scene}.events.ami").read_bytes().split(END)
    events = (block + END for block in blocks if block.startswith(b"Event: ") and b"FullyBooted" not in block)
    return tuple(re.sub(rb"Timestamp: [\d.]+", b"Timestamp: <stamp>", event) for event in events)


def _told(scene: str, caller: bytes, caller_name: bytes) -> dict[bytes, str]:
    """The values of a scene's call, as they were recorded."""
    nonce = re.search(rb"Nonce: (\d+)", b"".join(_recorded(scene)))
    assert nonce is not None
    return {
        b"<stamp>": "stamp",
        b"<tenant>": "tenant",
        b"<dialled>": "dialled",
        caller: "caller",
        caller_name: "caller_name",
        nonce[1]: "nonce",
    }


def _ask(event: bytes) -> bytes:
    """As today's include asks: the recorded one did not yet say how many legs there are, and which way they go."""
    event = re.sub(rb"\r\nNumber: \d+\r\nTenant: \r\n", b"\r\nNumber: <dialled>\r\nTenant: <tenant>\r\n", event)
    return event.replace(END, b"\r\nLegs: 1\r\nDirection: outbound" + END)


def _owned(events: tuple[bytes, ...]) -> tuple[bytes, ...]:
    return tuple(event.replace(b"AccountCode: acme", b"AccountCode: <tenant>") for event in events)


def _answered() -> tuple[Template, Template, Template, Template]:
    events = _owned(_recorded("answered"))
    ask, begin, ringing, leg_up, end, caller_up, caller_gone, leg_gone = events
    assert b"ChannelState: 5" in ringing, "recorded before the shipped event filter kept it away"
    told = {
        **_told("answered", b"1795364079.0", b"acme-00000000"),
        b"1795364079.1": "leg",
        b"trunk-00000001": "leg_name",
        b"18005551212": "number",
    }
    return (
        of(_ask(ask), told),
        of(begin, told),
        of(leg_up + end + caller_up, told),
        of(caller_gone + leg_gone, told),
    )


def _refused() -> Template:
    return of(_owned(_recorded("refused"))[-1], _told("refused", b"1795364081.2", b"acme-00000002"))


def _silence() -> Template:
    told = _told("silence", b"1795364081.7", b"acme-00000007")
    return of(b"".join(_owned(_recorded("silence"))[-2:]), told)


ASK, DIAL_BEGIN, ANSWER, GONE = _answered()
REFUSED: Final = _refused()
SILENCE: Final = _silence()

BOOTED: Final = (
    b"Event: FullyBooted\r\nPrivilege: system,all\r\nUptime: 1\r\nLastReload: 1\r\nStatus: Fully Booted\r\n\r\n"
)


def reply(action_id: bytes, message: bytes, response: bytes = b"Success") -> bytes:
    """An answer of one sentence."""
    return b"Response: %b\r\nActionID: %b\r\nMessage: %b\r\n\r\n" % (response, action_id, message)


def verdict_replies(setvar_id: bytes, play_id: bytes) -> bytes:
    """To the Setvar and the PlayDTMF of a verdict."""
    return (
        b"Response: Success\r\nActionID: %b\r\nMessage: Variable Set\r\n\r\n"
        b"Response: Success\r\nActionID: %b\r\nMessage: DTMF successfully queued\r\n\r\n" % (setvar_id, play_id)
    )


# ------------------------------------------------------------------------------------------------------- Status lists

LIST_BEGIN: Final = (
    b"Response: Success\r\nActionID: %b\r\nEventList: start\r\nMessage: Channel status will follow\r\n\r\n"
)
LIST_END: Final = b"Event: StatusComplete\r\nActionID: %b\r\nEventList: Complete\r\nListItems: %d\r\nItems: %d\r\n\r\n"
STATES: Final = {4: b"Ring", 6: b"Up"}


def _items() -> tuple[bytes, bytes]:
    """Of the leg and of the caller, each with the places that ``item`` fills in."""
    blocks = (_TRACES / "answered.actions.ami").read_bytes().split(END)
    leg, caller = (block for block in blocks if block.startswith(b"Event: Status\r\n"))
    return _item(leg, b"1795364079.1", b"trunk-00000001"), _item(caller, b"1795364079.0", b"acme-00000000")


def _item(block: bytes, uniqueid: bytes, name: bytes) -> bytes:
    block = block.partition(b"\r\nVariable: ")[0].replace(b"%", b"%%")
    for header, place in (
        (b"ChannelState: 6\r\nChannelStateDesc: Up", b"ChannelState: %(state)d\r\nChannelStateDesc: %(told)b"),
        (b"Uniqueid: " + uniqueid, b"Uniqueid: %(uniqueid)b"),
        (b"Linkedid: 1795364079.0", b"Linkedid: %(caller)b"),
        (b"AccountCode: acme", b"AccountCode: %(tenant)b"),
        (name, b"%(name)b"),
        (b"18005551212", b"%(number)b"),
    ):
        assert header in block, header
        block = block.replace(header, place)
    return re.sub(rb"TimeToHangup: \d+", b"TimeToHangup: %(hangup_at)d", block)


_LEG_ITEM, _CALLER_ITEM = _items()


def item(values: dict[bytes, object], variables: bytes, action_id: bytes, *, is_leg: bool) -> bytes:
    """One channel of a list; ``variables`` are whole lines."""
    return (_LEG_ITEM if is_leg else _CALLER_ITEM) % values + b"\r\n%bActionID: %b\r\n\r\n" % (variables, action_id)
