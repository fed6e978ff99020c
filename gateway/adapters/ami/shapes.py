"""What a genuine message looks like, Asterisk 16 to 22.

Read in ``main/manager_channels.c``, ``main/manager.c``, ``main/stasis.c`` of 16.28, 18.20, 20.11 and 22.9:
an event begins with ``Event`` and ``Privilege``, then ``Timestamp`` when the PBX has
``timestampevents=yes``; a channel is told as one run of 14 headers; what a type adds stands after it. Other
headers may stand between (``SystemName``, ``Tenantid``, ``ChanVariable``, whatever a later version adds),
but none of the required ones may be missing, out of order, or there twice: text that a caller smuggled into
a number cannot complete a message without breaking this, as long as it is short (``suspicion`` says how
short), or the mark is used.

**The mark** (optional, closes the rest): with ``channelvars=CALLGATE_MARK`` in manager.conf and a secret of
that name in the dialplan's ``[globals]``, every channel that an event tells of carries the secret after what
a caller could write, so a message that was cut or made up by a caller lacks it.
"""

import re
from functools import lru_cache

from gateway.adapters.ami.messages import Message

MARK_VARIABLE = "CALLGATE_MARK"
# AST_MAX_PUBLIC_UNIQUEID is 149 (include/asterisk/channel.h).
UNIQUEID = re.compile(r"[A-Za-z0-9_.-]{1,138}\.[0-9]{1,10}")
ANY = r"[^\r]*+"  # a value that a fact may hold as it is
_NAMED = re.compile(rb"(?:^|\r\n)[A-Za-z]*Uniqueid: ([A-Za-z0-9_.-]{1,138}\.[0-9]{1,10})(?=\r\n|$)")

CHANNEL = (
    "Channel",
    "ChannelState",
    "ChannelStateDesc",
    "CallerIDNum",
    "CallerIDName",
    "ConnectedLineNum",
    "ConnectedLineName",
    "Language",
    "AccountCode",
    "Context",
    "Exten",
    "Priority",
    "Uniqueid",
    "Linkedid",
)
DEST_CHANNEL = tuple("Dest" + header for header in CHANNEL)
AUTHORIZE = "CallGateAuthorize"
SILENCE = "CallGateSilence"

# Headers that each type always has, in order, after Event and Privilege.
_REQUIRED: dict[str, tuple[str, ...]] = {
    "FullyBooted": (),  # see _BOOTED: that of a login and that of a start differ in their order
    "Newstate": CHANNEL,
    "Hangup": (*CHANNEL, "Cause", "Cause-txt"),
    "DialBegin": (*DEST_CHANNEL, "DialString"),
    "DialEnd": (*DEST_CHANNEL, "DialStatus"),
    AUTHORIZE: (*CHANNEL, "UserEvent", "Nonce", "Number", "Tenant", "CLI"),
    SILENCE: (*CHANNEL, "UserEvent", "Nonce", "Decision"),
}
_BOOTED = frozenset({"Status", "Uptime", "LastReload"})
_PRIVILEGE = {"FullyBooted": "system,all", AUTHORIZE: "user,all", SILENCE: "user,all"}
# The caller is not told of in the dial of an Originate.
_CALLER_IS_OPTIONAL = frozenset({"DialBegin", "DialEnd"})
_MAY_REPEAT = frozenset({"ChanVariable", "DestChanVariable"})
# Events of these types tell that channels changed places. No more is read of them than the channels that they name,
# and all that comes of it is a look at those: they need no shape of their own.
MOVES = frozenset({"AttendedTransfer", "LocalOptimizationEnd", "ParkedCall", "Pickup", "UnParkedCall"})
# In events of other kinds (only seen where the event filter is missing) a body may repeat what it likes but
# these.
_NEVER_REPEAT = frozenset({"Event", "Privilege", "Timestamp", "UserEvent", *CHANNEL})

# A type that the gateway does not read must be whole as well where it tells of a channel, or it may be the
# tail of a cut message: whatever a caller wrote, one of these headers comes after it.
_WHOLE_WITH = (
    (frozenset({"ChannelState", "Linkedid"}), CHANNEL),
    (frozenset({"DestChannelState", "DestLinkedid", "DialString", "DialStatus"}), DEST_CHANNEL),
)

_STATUS = (
    *CHANNEL,
    "Type",
    "DNID",
    "EffectiveConnectedLineNum",
    "EffectiveConnectedLineName",
    "TimeToHangup",
    "BridgeID",
    "Application",
    "Data",
    "Nativeformats",
    "Readformat",
    "Readtrans",
    "Writeformat",
    "Writetrans",
    "Callgroup",
    "Pickupgroup",
    "Seconds",
)


def kind_of(message: Message) -> str:
    """The event's type; for the hook's own user events the name they carry."""
    name = message.headers.get("Event", "")
    if name == "UserEvent":
        user_name = message.headers.get("UserEvent", "")
        if user_name.startswith("CallGate"):
            return user_name
    return name


def is_known(kind: str) -> bool:
    """An event that the gateway reads, whose shape is known in full."""
    return kind in _REQUIRED


def required_headers(kind: str) -> tuple[str, ...]:
    """The headers that a known event always has, in order, after Event and Privilege; none of one that is not read."""
    return _REQUIRED.get(kind, ())


def event_fault(kind: str, message: Message, mark: str = "") -> str:
    """Why the message is no genuine event; empty when nothing speaks against it."""
    if message.has_repeats:
        twice = _repeated(message, only=None if kind in _REQUIRED else _NEVER_REPEAT)
        if twice:
            return f"{kind or 'a message'} has {twice} twice"
    fault = _layout_fault(kind, tuple(message.headers))
    if not fault and kind in _REQUIRED and message.headers["Privilege"] != _PRIVILEGE.get(kind, "call,all"):
        return f"{kind} with a privilege that is not its own"
    if not fault and mark and not _has_mark(message, mark):
        return f"{kind} lacks the mark"
    return fault


def named_uniqueids(frame: bytes) -> list[str]:
    """Every well-formed Uniqueid that a message names, believed or not."""
    return [found.decode("ascii") for found in _NAMED.findall(frame)]


def status_fault(message: Message, variables: tuple[str, ...], mark: str = "") -> str:
    """Why the message is no genuine item of a Status list that asked for these variables.

    The variables stand after ``Seconds``, in the order they were asked for, and the ActionID ends the item: a
    ``Variable`` line that a caller smuggled in stands before, or makes one too many.
    """
    keys = [pair[0] for pair in message.pairs]
    tail = ["Variable"] * len(variables) + ["ActionID"]
    body = keys[: -len(tail)]
    if keys[-len(tail) :] != tail or not body or body[-1] != "Seconds" or "Variable" in body:
        return "a Status item whose end is not its own"
    asked = [pair[1].partition("=")[0] for pair in message.pairs[-len(tail) : -1]]
    if asked != list(variables):
        return "a Status item with variables that were not asked for"
    singles = [key for key in body if key not in _MAY_REPEAT]
    if len(set(singles)) != len(singles):
        return "a Status item with a header twice"
    if tuple(singles[:2]) != ("Event", "Privilege") or not _is_ordered(tuple(singles[2:]), _STATUS):
        return "a Status item that lacks a header, or has one out of order"
    if mark and not _has_mark(message, mark):
        return "a Status item that lacks the mark"
    return ""


@lru_cache(maxsize=512)  # a genuine stream has a dozen layouts; the bound is for what an attacker makes up
def _layout_fault(kind: str, keys: tuple[str, ...]) -> str:
    if keys[:1] != ("Event",):
        return "a message that begins with neither Event nor Response"
    if keys[1:2] != ("Privilege",) or "Timestamp" in keys[3:]:
        return f"{kind} without its Privilege, or with a Timestamp out of its place"
    required = _REQUIRED.get(kind)
    if required is None:
        return _unknown_fault(kind, keys)
    if kind in _CALLER_IS_OPTIONAL and not set(CHANNEL).isdisjoint(keys):
        required = CHANNEL + required
    if not _is_ordered(keys, required) or (kind == "FullyBooted" and not _BOOTED.issubset(keys)):
        return f"{kind} lacks a header that it always has, or has it out of order"
    return ""


def _unknown_fault(kind: str, keys: tuple[str, ...]) -> str:
    """An event of another type is let by (and ignored) unless it tells of a channel and not of all of it.

    Types that name a channel in words of their own (OriginateResponse) have none of the tell-tale headers.
    """
    for telltale, whole in _WHOLE_WITH:
        if not telltale.isdisjoint(keys) and not _is_ordered(keys, whole):
            return f"{kind} tells of a part of a channel"
    return ""


def _is_ordered(keys: tuple[str, ...], required: tuple[str, ...]) -> bool:
    rest = iter(keys)
    return all(header in rest for header in required)  # ``in`` on an iterator moves it on


def _repeated(message: Message, only: frozenset[str] | None) -> str:
    seen: set[str] = set()
    for key, _ in message.pairs:
        if key in seen and (key in only if only is not None else key not in _MAY_REPEAT):
            return key
        seen.add(key)
    return ""


def is_told_mark(name: str, value: str, mark: str) -> bool:
    """The header tells the mark of a channel."""
    return bool(mark) and name in _MAY_REPEAT and value == f"{MARK_VARIABLE}={mark}"


def _has_mark(message: Message, mark: str) -> bool:
    """Every channel that the message tells of carries it: the caller's proves nothing of the leg's."""
    told = f"{MARK_VARIABLE}={mark}"
    return all(
        [prefix + "ChanVariable", told] in message.pairs
        for prefix in ("", "Dest")
        if prefix + "ChannelState" in message.headers
    )
