"""One switch of the fleet: two AMI sessions or more on a real socket, actions matched by their bytes.

What is due later is the fleet's business (``traffic``). A list of all channels is written in pieces, between which
other actions are answered: a real Asterisk answers them after it.
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Final, cast

from tests.load.fleet import words
from tests.load.fleet.calls import Call, Stage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.load.fleet.traffic import Traffic

ITEMS_AT_ONCE: Final = 100
_ID: Final = re.compile(rb"\r\nActionID: ([^\r]+)")
_CHANNEL: Final = re.compile(rb"\r\nChannel: \d+\.(\d+)\r")
# The two actions of a verdict as the gateway writes them: matched at once where they are so.
_VERDICT: Final = re.compile(
    rb"Action: Setvar\r\nChannel: \d+\.(\d+)\r\nVariable: CALLGATE_VERDICT\r\nValue: ([^\r]+)\r\n"
    rb"ActionID: ([^\r]+)\r\n\r\n"
    rb"Action: PlayDTMF\r\nChannel: \d+\.\1\r\nDigit: D\r\nReceive: true\r\nActionID: ([^\r]+)\r\n\r\n"
)
_VALUE: Final = re.compile(rb"\r\nValue: ([^\r]+)")
_TIMEOUT: Final = re.compile(rb"\r\nTimeout: ([\d.]+)")
_VARIABLES: Final = re.compile(rb"\r\nVariables: ([^\r]+)")
_VARIABLE: Final = re.compile(rb"\r\nVariable: ([^\r]+)")
_NAMES: Final = re.compile(rb"[^,(]+(?:\([^)]*\))?")  # CDR(answer,u) is one
_NO_CHANNEL: Final = b"No such channel"


class Switch:
    """One simulated PBX; its counters are those of the whole fleet."""

    def __init__(self, traffic: Traffic, user: bytes, secret: bytes, started_at: int) -> None:
        self.traffic = traffic
        self.user = user
        self.secret = secret
        self.started_at = started_at
        self.calls: dict[int, Call] = {}  # by number; its channels are twice that, and one more
        self.listeners: list[asyncio.Transport] = []
        self.out: list[bytes] = []  # events of this turn

    def flush(self) -> None:
        """Write this turn's events, all at once."""
        data = b"".join(self.out)
        self.out.clear()
        for listener in self.listeners:
            listener.write(data)

    def find(self, frame: bytes) -> tuple[Call | None, bool]:
        """The call of an action's channel, and whether it is the leg's."""
        found = _CHANNEL.search(frame)
        number = int(found[1]) if found is not None else -1
        return self.calls.get(number >> 1) if number >= 0 else None, bool(number & 1)


class Session(asyncio.Protocol):
    """One manager connection."""

    def __init__(self, switch: Switch) -> None:
        self._switch = switch
        self._traffic = switch.traffic
        self._counts = switch.traffic.counts
        self._rest = b""
        self._is_paused = False
        self._is_logged_in = False
        self._listing: Iterator[bytes] | None = None
        self._handlers: dict[bytes, Callable[[bytes, bytes], bytes]] = {
            b"Login": self._login,
            b"Ping": self._ping,
            b"CoreStatus": self._core_status,
            b"Setvar": self._set_variable,
            b"PlayDTMF": self._play_dtmf,
            b"AbsoluteTimeout": self._absolute_timeout,
            b"Status": self._status,
            b"Getvar": self._get_variable,
            b"Hangup": self._hangup,
        }

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(words.GREETING)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Nobody listens here any more."""
        if self._is_logged_in:
            self._counts.lost += 1
        if self._transport in self._switch.listeners:
            self._switch.listeners.remove(self._transport)

    def pause_writing(self) -> None:
        """The gateway is behind: a list waits."""
        self._is_paused = True

    def resume_writing(self) -> None:
        """It has caught up."""
        self._is_paused = False
        if self._listing is not None:
            self._go_on()

    def data_received(self, data: bytes) -> None:
        """Carry out what is whole, and answer all of it in one write."""
        if self._rest:
            data = self._rest + data
        replies: list[bytes] = []
        at = 0
        while (end := data.find(words.END, at)) >= 0:
            verdict = _VERDICT.match(data, at)
            if verdict is not None and self._is_logged_in:
                number, value, setvar_id, play_id = verdict.groups()
                at = verdict.end()
                call = self._switch.calls.get(int(number) >> 1)
                if call is not None:
                    replies.append(words.verdict_replies(setvar_id, play_id))
                    call.verdict = value
                    self._traffic.take_digit(call)
                else:
                    self._counts.late += 1
                    replies.append(words.reply(setvar_id, _NO_CHANNEL, b"Error"))
                    replies.append(words.reply(play_id, b"Channel not found", b"Error"))
                continue
            replies.append(self._act(data[at : end + 2]))
            at = end + 4
        self._rest = data[at:]
        if replies:
            self._transport.write(b"".join(replies))
        self._traffic.wake_in_time()

    def _act(self, frame: bytes) -> bytes:
        name = frame[8 : frame.find(b"\r")]
        told = _ID.search(frame)
        action_id = told[1] if told is not None else b""
        handler = self._handlers.get(name)
        if handler is None or not (self._is_logged_in or name == b"Login"):
            self._counts.unknown += 1
            return words.reply(action_id, b"Invalid/unknown command: " + name, b"Error")
        return handler(frame, action_id)

    # -------------------------------------------------------------------------------------------- of the connection

    def _login(self, frame: bytes, action_id: bytes) -> bytes:
        headers = dict(line.split(b": ", 1) for line in frame.split(b"\r\n") if b": " in line)
        given = {name.lower(): value for name, value in headers.items()}
        if (given.get(b"username"), given.get(b"secret")) != (self._switch.user, self._switch.secret):
            return words.reply(action_id, b"Authentication failed", b"Error")
        self._is_logged_in = True
        self._counts.logins += 1
        accepted = words.reply(action_id, b"Authentication accepted")
        if given.get(b"events", b"on").lower() == b"off":
            return accepted
        self._switch.listeners.append(self._transport)
        return accepted + words.BOOTED

    def _ping(self, _frame: bytes, action_id: bytes) -> bytes:
        return b"Response: Success\r\nActionID: %b\r\nPing: Pong\r\nTimestamp: %b\r\n\r\n" % (
            action_id,
            self._traffic.stamp(),
        )

    def _core_status(self, _frame: bytes, action_id: bytes) -> bytes:
        return (
            b"Response: Success\r\nActionID: %b\r\nCoreStartupDate: 2026-01-01\r\nCoreStartupTime: 00:00:00\r\n"
            b"CoreReloadDate: 2026-01-01\r\nCoreReloadTime: 00:00:00\r\nCoreCurrentCalls: %d\r\n\r\n"
            % (action_id, len(self._switch.calls))
        )

    # --------------------------------------------------------------------------------------------------- of a channel

    def _set_variable(self, frame: bytes, action_id: bytes) -> bytes:
        call, is_leg = self._switch.find(frame)
        if call is None:
            return words.reply(action_id, _NO_CHANNEL, b"Error")
        value = _VALUE.search(frame)
        if value is not None and not is_leg and b"\r\nVariable: CALLGATE_VERDICT\r\n" in frame:
            call.verdict = value[1]
        return words.reply(action_id, b"Variable Set")

    def _play_dtmf(self, frame: bytes, action_id: bytes) -> bytes:
        call, is_leg = self._switch.find(frame)
        if call is None:
            self._counts.late += 1
            return words.reply(action_id, b"Channel not found", b"Error")
        if not is_leg and b"\r\nDigit: D\r\n" in frame:
            self._traffic.take_digit(call)
        return words.reply(action_id, b"DTMF successfully queued")

    def _absolute_timeout(self, frame: bytes, action_id: bytes) -> bytes:
        call, is_leg = self._switch.find(frame)
        if call is None:
            return words.reply(action_id, _NO_CHANNEL, b"Error")
        seconds = _TIMEOUT.search(frame)
        if seconds is None or not float(seconds[1]) > 0:
            return words.reply(action_id, b"No timeout specified", b"Error")
        if is_leg:
            self._traffic.cap(call, float(seconds[1]))
        return words.reply(action_id, b"Timeout Set")

    def _hangup(self, frame: bytes, action_id: bytes) -> bytes:
        call, _ = self._switch.find(frame)
        if call is None:
            return words.reply(action_id, _NO_CHANNEL, b"Error")
        self._traffic.kick(call)
        return words.reply(action_id, b"Channel Hungup")

    def _get_variable(self, frame: bytes, action_id: bytes) -> bytes:
        call, is_leg = self._switch.find(frame)
        name = _VARIABLE.search(frame)
        if call is None or name is None:
            return words.reply(action_id, _NO_CHANNEL, b"Error")
        value = _variables(call, is_leg=is_leg).get(name[1], b"")
        return b"Response: Success\r\nActionID: %b\r\nVariable: %b\r\nValue: %b\r\n\r\n" % (action_id, name[1], value)

    # ---------------------------------------------------------------------------------------------------------- lists

    def _status(self, frame: bytes, action_id: bytes) -> bytes:
        asked = _VARIABLES.search(frame)
        names = _NAMES.findall(asked[1]) if asked is not None else []
        if b"\r\nChannel: " in frame:
            self._counts.looks += 1
            call, is_leg = self._switch.find(frame)
            item = _item(call, names, action_id, self._traffic, is_leg=is_leg) if call is not None else b""
            if not item:
                return words.reply(action_id, _NO_CHANNEL, b"Error")
            return words.LIST_BEGIN % action_id + item + words.LIST_END % (action_id, 1, 1)
        self._counts.lists += 1
        waiting, mine = self._listing, self._list(names, action_id)
        self._listing = mine if waiting is None else _one_after_the_other(waiting, mine)
        if waiting is None:
            asyncio.get_running_loop().call_soon(self._go_on)
        return words.LIST_BEGIN % action_id

    def _list(self, names: list[bytes], action_id: bytes) -> Iterator[bytes]:
        """Items of all that live and have not ended when it is their turn, and at last how many they were."""
        count = 0
        for call in list(self._switch.calls.values()):
            for is_leg in (False, True):
                if item := _item(call, names, action_id, self._traffic, is_leg=is_leg):
                    count += 1
                    yield item
        self._counts.items += count
        yield words.LIST_END % (action_id, count, count)

    def _go_on(self) -> None:
        if self._listing is None or self._is_paused or self._transport.is_closing():
            return
        piece = [item for _, item in zip(range(ITEMS_AT_ONCE), self._listing, strict=False)]
        self._transport.write(b"".join(piece))
        if len(piece) == ITEMS_AT_ONCE:
            asyncio.get_running_loop().call_soon(self._go_on)
        else:
            self._listing = None
            self._traffic.lists_done += 1


def _one_after_the_other(*lists: Iterator[bytes]) -> Iterator[bytes]:
    for each in lists:
        yield from each


def _item(call: Call, names: list[bytes], action_id: bytes, traffic: Traffic, *, is_leg: bool) -> bytes:
    """One channel; nothing where there is none."""
    if call.stage is Stage.OVER or (is_leg and call.stage < Stage.RINGS):
        return b""
    facts = call.facts
    is_up = call.stage is Stage.TALKS
    state = 6 if is_up else 0 if is_leg else 4
    known = _variables(call, is_leg=is_leg)
    if is_up:
        known[b"CDR(answer,u)"] = b"%.6f" % (call.end_at - call.talk_seconds + traffic.epoch)
    values: dict[bytes, object] = {
        b"state": state,
        b"told": words.STATES.get(state, b"Down"),
        b"uniqueid": facts.leg if is_leg else facts.caller,
        b"caller": facts.caller,
        b"tenant": facts.tenant,
        b"name": facts.leg_name if is_leg else facts.caller_name,
        b"number": facts.dialled,
        b"hangup_at": int(call.cap_at + traffic.epoch) if is_leg and call.cap_at else 0,
    }
    variables = b"".join([b"Variable: %b=%b\r\n" % (name, known.get(name, b"(null)")) for name in names])
    return words.item(values, variables, action_id, is_leg=is_leg)


def _variables(call: Call, *, is_leg: bool) -> dict[bytes, bytes]:
    """Those that the include and Dial set."""
    facts = call.facts
    if is_leg:
        return {b"DIALEDPEERNUMBER": facts.number + b"@trunk"}
    is_asking = call.stage is Stage.ASKED
    ask = b"%b:%b:%b:%b:1" % (facts.nonce, facts.dialled, facts.tenant, words.CLI) if is_asking else b""
    found = {b"CALLGATE_ASK": ask, b"CALLGATE_VERDICT": call.verdict}
    return found if is_asking else {**found, b"CALLGATE_DIAL": facts.number, b"CALLGATE_REASON": b"ok"}
