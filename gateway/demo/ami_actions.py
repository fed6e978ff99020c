"""What the AMI actions of callgate do to a simulated PBX; replies as in Asterisk 22 (``main/manager.c``)."""

import re
from collections.abc import Callable, Mapping
from typing import Protocol

from gateway.demo import ami_text
from gateway.demo.channels import Call, Channel, End

Headers = Mapping[str, str]  # names in lower case
Write = Callable[[bytes], None]

_TRUE = frozenset({"true", "yes", "1", "y", "t", "on"})


class Pbx(Protocol):
    """What actions need of the PBX. Times are the loop's, in seconds."""

    def find(self, name: str) -> Channel | None:
        """A channel by Uniqueid or name."""
        ...

    def channels(self) -> list[Channel]:
        """All of them, the oldest first."""
        ...

    def loop_time(self) -> float:
        """The loop's time now."""
        ...

    def now(self) -> float:
        """The PBX's clock now, seconds since the epoch."""
        ...

    def take_digit(self, call: Call) -> None:
        """The digit D arrived at the caller's channel."""
        ...

    def arm(self, channel: Channel, hangup_at: float) -> None:
        """End the channel's call at that time."""
        ...

    def end(self, call: Call, end: End, cause_q850: int) -> None:
        """End a call now."""
        ...


def act(pbx: Pbx, write: Write, action: str, headers: Headers) -> None:
    """Carry out one action and write its reply. ``Channel: /pattern/`` is unknown here: nobody sends it."""
    action_id, name = headers.get("actionid", ""), headers.get("channel", "")
    if action == "status":
        _status(pbx, write, action_id, name, headers)
        return
    handler = _HANDLERS.get(action)
    if handler is None:
        unknown = f"Invalid/unknown command: {headers.get('action', '')}."
        write(ami_text.error(action_id, f"{unknown} Use Action: ListCommands to show available commands."))
        return
    channel = pbx.find(name)
    if channel is None:
        missing = "Channel not found" if action == "playdtmf" else "No such channel"
        write(ami_text.error(action_id, missing if name else "No channel specified"))
        return
    handler(pbx, write, action_id, channel, headers)


def _set_variable(_pbx: Pbx, write: Write, action_id: str, channel: Channel, headers: Headers) -> None:
    if not headers.get("variable"):
        write(ami_text.error(action_id, "No variable specified"))
        return
    channel.variables[headers["variable"]] = headers.get("value", "")
    write(ami_text.ok(action_id, "Variable Set"))


def _play_dtmf(pbx: Pbx, write: Write, action_id: str, channel: Channel, headers: Headers) -> None:
    digit = headers.get("digit", "")
    if not digit:
        write(ami_text.error(action_id, "No digit specified"))
        return
    write(ami_text.ok(action_id, "DTMF successfully queued"))
    is_received = headers.get("receive", "").lower() in _TRUE  # else it is played to the phone
    if is_received and digit[0] == "D" and channel.call and channel is channel.call.caller:
        pbx.take_digit(channel.call)


def _absolute_timeout(pbx: Pbx, write: Write, action_id: str, channel: Channel, headers: Headers) -> None:
    try:
        seconds = float(headers.get("timeout", ""))
    except ValueError:  # atof() makes 0 of it
        seconds = 0.0
    if not seconds > 0:
        write(ami_text.error(action_id, "No timeout specified"))
        return
    pbx.arm(channel, pbx.loop_time() + seconds)
    write(ami_text.ok(action_id, "Timeout Set"))


def _hangup(pbx: Pbx, write: Write, action_id: str, channel: Channel, headers: Headers) -> None:
    write(ami_text.ok(action_id, "Channel Hungup"))
    cause = headers.get("cause", "")
    if channel.call:
        pbx.end(channel.call, End.KICKED, int(cause) if cause.isdecimal() else 0)


def _status(pbx: Pbx, write: Write, action_id: str, name: str, headers: Headers) -> None:
    channel = pbx.find(name)
    if name and channel is None:
        write(ami_text.error(action_id, "No such channel"))
        return
    listed = [channel] if channel else pbx.channels()
    names = _NAMES.findall(headers.get("variables", ""))
    now, epoch = pbx.loop_time(), pbx.now() - pbx.loop_time()
    write(ami_text.reply(action_id, "Success", "EventList: start", "Message: Channel status will follow"))
    for item in listed:
        write(ami_text.status_item(item, action_id, epoch, now, names))
    write(ami_text.status_complete(action_id, len(listed)))


_NAMES = re.compile(r"[^,(]+(?:\([^)]*\))?")  # CDR(answer,u) is one

_HANDLERS: dict[str, Callable[[Pbx, Write, str, Channel, Headers], None]] = {
    "setvar": _set_variable,
    "playdtmf": _play_dtmf,
    "absolutetimeout": _absolute_timeout,
    "hangup": _hangup,
}
