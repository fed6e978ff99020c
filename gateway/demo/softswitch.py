"""A simulated PBX on a real loopback socket: it speaks AMI as an Asterisk 22 that holds callgate's include.

It follows the include's contract (an ask with a nonce, a bounded wait, a verdict and a digit) and enforces
the caps itself: ``L()`` from the answer, a later ``AbsoluteTimeout`` instead of it, the end of the leg at the
cap with cause 16. Its clock is real. No call has a task of its own: what is to come is a timer of the loop.
"""

import asyncio
import secrets
import time

from gateway.demo import ami_text
from gateway.demo.ami_actions import Headers, act
from gateway.demo.ami_session import Session
from gateway.demo.channels import RING, RINGING, UP, Call, Channel, End, Outcome
from gateway.demo.dialplan import Include, Permission, Refusal, may_ask, on_silence, read_verdict

NORMAL_CLEARING, NO_ANSWER = 16, 19
DIAL_TIMEOUT_SECONDS = 60.0
_CONTEXT = "from-internal"


class SoftSwitch:
    """One simulated PBX. Raises OSError on ``start`` when the port is taken."""

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        username: str = "callgate",
        secret: str = "",
        name: str = "demo",
        include: Include | None = None,
        clock_shift_seconds: float = 0.0,
        is_racy: bool = False,
    ) -> None:
        self.host, self.port, self.name = host, port, name
        self.live: set[Call] = set()
        self.clock_shift_seconds = clock_shift_seconds  # how far this PBX's clock is off
        self._is_racy = is_racy  # two pairs of events the other way round on each second call, as recorded too
        self._user = (username, secret)
        self._include = include or Include()
        self._sessions: set[Session] = set()
        self._listeners: set[Session] = set()
        self._channels: dict[str, Channel] = {}
        self._names: dict[str, Channel] = {}
        self._count = self._asked = 0
        self._has_listener = asyncio.Event()
        self._is_silent = False
        self._server: asyncio.Server | None = None

    # ------------------------------------------------------------------------------------ its life

    async def start(self) -> None:
        """Listen. A port of 0 becomes the one that was free."""
        self._loop = asyncio.get_running_loop()
        self._started_at = self._loop.time()
        self._epoch = time.time() - self._started_at + self.clock_shift_seconds
        self._server = await self._loop.create_server(lambda: Session(self, self._loop), self.host, self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """End all calls and connections, with the Shutdown event that Asterisk sends."""
        for call in tuple(self.live):
            self.end(call, End.STOPPED, NORMAL_CLEARING)
        self._emit("Shutdown", "system", "Shutdown: Cleanly\r\nRestart: False\r\n")
        for session in tuple(self._sessions):
            session.close()
        if self._server:
            self._server.close()
            await self._server.wait_closed()

    async def wait_for_listener(self) -> None:
        """Return when a client is logged in that takes events: from then on an ask is heard."""
        await self._has_listener.wait()

    # ------------------------------------------------------------------------------- faults, for tests

    def drop_connections(self) -> None:
        """Every AMI connection is reset; calls go on, as on a PBX whose manager was reloaded."""
        for session in tuple(self._sessions):
            session.abort()

    def go_silent(self, *, is_silent: bool = True) -> None:
        """Half-open: connections stay, nothing is read or written; what happens meanwhile is never told."""
        self._is_silent = is_silent
        for session in self._sessions:
            session.is_silent = is_silent

    def inject(self, data: bytes) -> None:
        """Write these very bytes to who listens: what a forged header does to a real PBX's stream."""
        for session in self._listeners:
            session.write(data)

    # ----------------------------------------------------------------------------------------- calls

    def place_call(
        self,
        tenant: str,
        number: str,
        cli: str,
        ring_seconds: float = 0.0,
        talk_seconds: float = 3600.0,
        *,
        answer: bool = True,
        accountcode: str = "",
    ) -> Call:
        """A phone dials ``number``, and the admin's Gosub names ``tenant``.

        The far end rings ``ring_seconds``, then answers or not; somebody hangs up ``talk_seconds`` later.
        """
        caller = self._channel(f"PJSIP/{tenant or accountcode or 'phone'}", "", cli)
        caller.accountcode, caller.exten, caller.state = accountcode, number, RING
        call = Call(tenant, number, ring_seconds, talk_seconds, answer, self._loop.create_future(), caller)
        call.is_reversed = self._is_racy and self._asked % 2 == 1
        self._asked += 1
        caller.call = call
        self.live.add(call)
        decision = may_ask(self._include, number, tenant)
        if decision is None:
            self._ask(call, "".join(c for c in cli if c in "0123456789+")[:32])
        else:
            self._decide(call, decision)
        return call

    def hang_up(self, call: Call) -> None:
        """One of the two people hangs up, at whatever point the call is. Nothing when it is over."""
        self.end(call, End.HUNG_UP if call.answered_at else End.UNANSWERED, NORMAL_CLEARING)

    def _ask(self, call: Call, cli: str) -> None:
        caller = call.caller
        call.nonce = f"{secrets.randbelow(9 * 10**17) + 10**17}"
        caller.variables["CALLGATE_ASK"] = f"{call.nonce}:{call.number}:{call.tenant}:{cli}"
        caller.context, caller.exten, caller.priority = "callgate-wait", "s", 6  # as in the include
        self._emit(
            "UserEvent",
            "user",
            f"{ami_text.snapshot(caller)}UserEvent: CallGateAuthorize\r\n"
            f"Nonce: {call.nonce}\r\nNumber: {call.number}\r\nTenant: {call.tenant}\r\nCLI: {cli}\r\n",
        )
        caller.priority, caller.application, caller.data = 7, "WaitExten", f"{self._include.wait_seconds:g}"
        call.timer = self._loop.call_later(self._include.wait_seconds, self._silence, call)

    def _silence(self, call: Call) -> None:
        decision = on_silence(self._include, call.number)
        chosen = "refuse" if isinstance(decision, Refusal) else "continue"
        self._emit(
            "UserEvent",
            "user",
            f"{ami_text.snapshot(call.caller)}UserEvent: CallGateSilence\r\n"
            f"Nonce: {call.nonce}\r\nDecision: {chosen}\r\n",
        )
        self._decide(call, decision)

    def take_digit(self, call: Call) -> None:
        """The digit ``D`` arrived: look at the verdict. Another ask's verdict changes nothing."""
        if call.nonce:
            decision = read_verdict(call.nonce, call.caller.variables.get("CALLGATE_VERDICT", ""))
            if decision is not None:
                self._decide(call, decision)

    def _decide(self, call: Call, decision: Refusal | Permission) -> None:
        if call.timer:
            call.timer.cancel()
        call.nonce = call.caller.variables["CALLGATE_ASK"] = ""
        if isinstance(decision, Refusal):
            call.reason = decision.reason
            self.end(call, End.DENIED, decision.cause_q850)
        else:
            call.cap_ms = decision.cap_ms
            self._dial(call, decision.number)

    def _dial(self, call: Call, number: str) -> None:
        caller = call.caller
        caller.context, caller.exten, caller.priority = _CONTEXT, call.number, 2
        caller.application = "Dial"
        caller.data = f"PJSIP/{number}@trunk,60,i{f'L({call.cap_ms})' if call.cap_ms else ''}"
        call.leg = leg = self._channel("PJSIP/trunk", caller.linkedid, number, caller.number)
        leg.call, leg.application, leg.data = call, "AppDial", "(Outgoing Line)"
        leg.context, leg.exten, leg.accountcode = "from-trunk", number, caller.accountcode
        begin = f"DialString: {number}@trunk\r\n"
        if call.is_reversed:
            leg.state = RINGING
            self._newstate(leg)
            self._dial_event("DialBegin", call, leg, begin)
        else:
            self._dial_event("DialBegin", call, leg, begin)
            leg.state = RINGING
            self._newstate(leg)
        if call.is_answered and call.ring_seconds < DIAL_TIMEOUT_SECONDS:
            call.timer = self._loop.call_later(call.ring_seconds, self._answer, call, leg)
        else:
            rings_seconds = min(call.ring_seconds, DIAL_TIMEOUT_SECONDS)
            call.timer = self._loop.call_later(rings_seconds, self._no_answer, call)

    def _answer(self, call: Call, leg: Channel) -> None:
        leg.state = UP
        self._newstate(leg)
        leg.exten, call.caller.connected = "", leg.number
        self._dial_event("DialEnd", call, leg, "DialStatus: ANSWER\r\n")
        call.answered_at = self._loop.time()  # after both stamps: the cap is never short, whichever is metered from
        call.caller.state = UP
        self._newstate(call.caller)
        if call.cap_ms:
            self.arm(leg, call.answered_at + call.cap_ms / 1000)
        call.timer = self._loop.call_later(call.talk_seconds, self.hang_up, call)

    def _no_answer(self, call: Call) -> None:
        self.end(call, End.UNANSWERED, NO_ANSWER)

    def arm(self, channel: Channel, hangup_at: float) -> None:
        """End the channel's call at that time of the loop, in place of any cap it had."""
        if channel.cap:
            channel.cap.cancel()
        channel.hangup_at = hangup_at
        channel.cap = self._loop.call_at(hangup_at, self._cut, channel)

    def _cut(self, channel: Channel) -> None:
        if self._loop.time() < channel.hangup_at:  # a rounded timer: never end before the paid time
            channel.cap = self._loop.call_at(channel.hangup_at, self._cut, channel)
        elif channel.call:
            self.end(channel.call, End.CUT, NORMAL_CLEARING)

    def end(self, call: Call, end: End, cause_q850: int) -> None:
        """End a call now, the outbound leg first, as Dial does. Nothing when it is over."""
        if call not in self.live:
            return
        self.live.discard(call)
        if call.timer:
            call.timer.cancel()
        talked_ms = round((self._loop.time() - call.answered_at) * 1000) if call.answered_at else 0
        if call.leg:
            if not call.answered_at:
                status = "NOANSWER" if cause_q850 == NO_ANSWER else "CANCEL"
                self._dial_event("DialEnd", call, call.leg, f"DialStatus: {status}\r\n")
            if not call.is_reversed:
                self._hangup(call.leg, cause_q850)
        self._hangup(call.caller, cause_q850, is_refusal=end is End.DENIED)
        if call.leg and call.is_reversed:
            self._hangup(call.leg, cause_q850)
        if not call.outcome.done():
            call.outcome.set_result(Outcome(end, call.reason, cause_q850, talked_ms))

    # -------------------------------------------------------------------------------- channels, events

    def _channel(self, kind: str, linkedid: str, number: str, connected: str = "") -> Channel:
        now = self._loop.time()
        uniqueid = f"{int(now + self._epoch)}.{self._count}"
        channel = Channel(
            name=f"{kind}-{self._count:08x}",
            uniqueid=uniqueid,
            linkedid=linkedid or uniqueid,
            number=number,
            connected=connected,
            context=_CONTEXT,
            created_at=now,
        )
        self._count += 1
        self._channels[uniqueid] = self._names[channel.name] = channel
        return channel

    def _hangup(self, channel: Channel, cause_q850: int, *, is_refusal: bool = False) -> None:
        if channel.cap:
            channel.cap.cancel()
        del self._channels[channel.uniqueid], self._names[channel.name]
        channel.call = None
        cause = ami_text.cause(cause_q850, is_refusal=is_refusal)
        self._emit("Hangup", "call", f"{ami_text.snapshot(channel)}{cause}")

    def _newstate(self, channel: Channel) -> None:
        self._emit("Newstate", "call", ami_text.snapshot(channel))

    def _dial_event(self, name: str, call: Call, leg: Channel, last: str) -> None:
        self._emit(name, "call", f"{ami_text.snapshot(call.caller)}{ami_text.snapshot(leg, 'Dest')}{last}")

    def _emit(self, name: str, privilege: str, body: str) -> None:
        if self._listeners:
            self.inject(ami_text.event(name, privilege, self.now(), body))

    # ----------------------------------------------------------------------------- for its AMI sessions

    def now(self) -> float:
        """The PBX's clock, seconds since the epoch. It never jumps: it is the loop's, shifted."""
        return self._loop.time() + self._epoch

    def loop_time(self) -> float:
        """The loop's clock, which caps are kept in."""
        return self._loop.time()

    def uptime_seconds(self) -> int:
        """Whole seconds since start."""
        return int(self._loop.time() - self._started_at)

    def is_user(self, username: str, secret: str) -> bool:
        """Whether these may log in."""
        return (username, secret) == self._user

    def opened(self, session: Session) -> None:
        """A client connected."""
        session.is_silent = self._is_silent
        self._sessions.add(session)

    def listens(self, session: Session, *, wants_events: bool) -> None:
        """A session logged in, or changed its mind about events."""
        if wants_events:
            self._listeners.add(session)
            self._has_listener.set()
        else:
            self._listeners.discard(session)

    def closed(self, session: Session) -> None:
        """A client is gone."""
        self._sessions.discard(session)
        self._listeners.discard(session)
        if not self._listeners:
            self._has_listener.clear()

    def find(self, name: str) -> Channel | None:
        """A channel by Uniqueid or name."""
        return self._channels.get(name) or self._names.get(name)

    def channels(self) -> list[Channel]:
        """All of them, the oldest first."""
        return list(self._channels.values())

    def act(self, session: Session, action: str, headers: Headers) -> None:
        """Carry out one action of a logged-in session and write its reply."""
        act(self, session.write, action, headers)
