"""One connection's bytes, both ways, on panoramisk's AMIProtocol, of which little but the frame is left.

What is bypassed, and why: its reader decodes before it frames (a split UTF-8 character is lost), takes any
text that looks like a message for one, and spends 50 us on each; its Action raises KeyError on PlayDTMF's
"successfully queued" and ends the connection; its ``close`` puts unanswered actions away to be sent again
after a reconnect; its ``send`` writes values unchecked. See DESIGN, section 2.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import structlog
from panoramisk.ami_protocol import AMIProtocol

from gateway.adapters.ami.actions import Fields, Reply, encode, new_action_id
from gateway.adapters.ami.messages import END, LINE_END, MAX_MESSAGE_BYTES, Framer, LinkFault, Message, parse
from gateway.adapters.ami.stats import LinkStats
from gateway.adapters.ami.suspicion import QUIET_SECONDS, Judge

MAX_PENDING = 4_096
MAX_LIST_ITEMS = 200_000
KEPT_LATE = 1_024  # ids of actions that timed out: an answer that still comes is no forgery
# uvloop counts in whole milliseconds: a timer set to the very end of a time comes before it, again and again.
TIMER_SLACK_SECONDS = 0.002

Take = Callable[[Message], Any]  # makes something of one item of a list, or raises ValueError
OnReply = Callable[[Reply], None]  # called from the reader: must not raise

_log = structlog.get_logger("callgate.ami")


class _Pending:
    __slots__ = ("deadline", "on_reply", "reply", "take")

    def __init__(self, on_reply: OnReply, deadline: float, take: Take | None) -> None:
        self.on_reply = on_reply
        self.deadline = deadline
        self.take = take
        self.reply: Reply | None = None  # of a list that is being told


class LinkProtocol(AMIProtocol):  # type: ignore[misc]  # panoramisk is untyped
    """Reads one stream into replies and, with a judge, into facts.

    The futures it gives never fail: a Reply says what went wrong.
    """

    def __init__(self, stats: LinkStats, judge: Judge | None, action_seconds: float, login_seconds: float) -> None:
        self._stats = stats
        self._judge = judge
        self._action_seconds = action_seconds
        self._login_seconds = login_seconds
        self._loop = asyncio.get_running_loop()
        self._framer = Framer()
        self._pending: dict[str, _Pending] = {}
        self._late: OrderedDict[str, None] = OrderedDict()
        self._sweeper: asyncio.TimerHandle | None = None
        self._sweep_at = 0.0
        self._quiet_timer: asyncio.TimerHandle | None = None
        self.lost: asyncio.Future[str] = self._loop.create_future()

    @property
    def greeting(self) -> str:
        """What Asterisk said first: its manager's name and version."""
        return self._framer.greeting

    # ------------------------------------------------------------------------------------------------ writing

    def send(self, data: Mapping[str, Any], as_list: bool | None = None) -> "asyncio.Future[Reply]":
        """Send one action; the signature is that of panoramisk, whose Manager logs in with it."""
        fields = [(str(name), str(value)) for name, value in data.items()]
        assert not as_list
        return self.write(fields, self._login_seconds)

    def write(self, fields: Fields, seconds: float = 0.0, take: Take | None = None) -> "asyncio.Future[Reply]":
        """Send one action. Raises ValueError; a lost link is told by the Reply.

        ``take``: the answer is a list, and this is given each item.
        """
        future: asyncio.Future[Reply] = self._loop.create_future()

        def settle(reply: Reply) -> None:
            if not future.done():  # the one who asked may have been cancelled
                future.set_result(reply)

        why_not = self.write_all((fields,), settle, seconds, take)
        if why_not:
            settle(Reply(lost=why_not))
        return future

    def write_all(
        self, actions: Sequence[Fields], on_reply: OnReply, seconds: float = 0.0, take: Take | None = None
    ) -> str:
        """Send actions in one write, in order; ``on_reply`` is called for each. Raises ValueError.

        Gives why nothing was written; empty when all was.
        """
        if self.lost.done() or len(self._pending) + len(actions) > MAX_PENDING:
            return self._why_not()
        deadline = self._loop.time() + (seconds or self._action_seconds)
        ids = [new_action_id() for _ in actions]
        data = b"".join(map(encode, actions, ids))
        for action_id in ids:
            self._pending[action_id] = _Pending(on_reply, deadline, take)
        self._stats.pending = len(self._pending)
        self.transport.write(data)
        if self._sweeper is None or deadline < self._sweep_at:
            self._await_late(deadline)
        return ""

    def _forget(self, action_id: str) -> _Pending:
        entry = self._pending.pop(action_id)
        self._stats.pending = len(self._pending)
        return entry

    def _why_not(self) -> str:
        return self.lost.result() if self.lost.done() else f"{MAX_PENDING} actions wait for an answer already"

    def _await_late(self, deadline: float) -> None:
        """One timer for all actions, set to the first deadline: in nearly all cases it finds newer ones only."""
        if self._sweeper is not None:
            self._sweeper.cancel()
        self._sweep_at = deadline
        self._sweeper = self._loop.call_at(deadline + TIMER_SLACK_SECONDS, self._sweep)

    def _sweep(self) -> None:
        self._sweeper = None
        now = self._loop.time()
        for action_id in [name for name, entry in self._pending.items() if entry.deadline <= now]:
            entry = self._forget(action_id)
            self._stats.timeouts += 1
            self._late[action_id] = None
            if len(self._late) > KEPT_LATE:
                self._late.popitem(last=False)
            entry.on_reply(Reply(lost="no answer in time"))
        if self._pending:
            self._await_late(min(entry.deadline for entry in self._pending.values()))

    # ------------------------------------------------------------------------------------------------ reading

    def data_received(self, data: bytes) -> None:
        """Take in what came. Whatever goes wrong in here ends this connection, and only it."""
        if self.lost.done():
            return  # given up already; the transport may still hand over what it had read
        try:
            self._read(data)
        except LinkFault as fault:
            self.abort(str(fault))
        except Exception:  # noqa: BLE001 - a fault of ours: begin anew with a clean stream
            _log.exception("ami.reader_failed", link=self._stats.name)
            self.abort("the reader of the manager connection failed: see the log")

    def _read(self, data: bytes) -> None:
        framer = self._framer
        frames = framer.push(data)
        for frame in frames:
            start = framer.offset
            framer.offset = start + len(frame) + len(END)
            if len(frame) > MAX_MESSAGE_BYTES:
                raise LinkFault(f"a message of {len(frame)} bytes")
            self._message(start, frame)
        if framer.drop_line_ends():
            self._stray(framer.offset, b"", "line ends between messages")
        self._stats.messages += len(frames)
        self._stats.last_message_at = time.time()
        if self._judge is not None:
            self._judge.end_of_chunk(framer.offset)
            if self._judge.awaits_quiet:
                self._await_quiet()

    def _message(self, start: int, frame: bytes) -> None:
        if self._judge is not None and self._judge.event_of_known_layout(start, frame):
            return
        if frame[:1] in (b"\r", b"\n"):
            self._stray(start, b"", "line ends between messages")
            frame = frame.lstrip(LINE_END)  # a reply of ours behind them is still one: nobody can guess its id
        message = parse(frame)
        if message is None:
            self._stray(start, frame, "a line that is no header")
        elif message.pairs[0][0] == "Response":
            self._response(start, frame, message)
        elif self._judge is not None:  # lists are never asked for on the session that carries events
            self._judge.event(start, frame, message)
        else:
            self._list_event(start, frame, message)

    def _response(self, start: int, frame: bytes, message: Message) -> None:
        action_id = message.headers.get("ActionID", "")
        entry = self._pending.get(action_id)
        if entry is None or message.has_repeats:
            if self._late.pop(action_id, self) is self:
                self._stray(start, frame, "an answer to no action of ours")
            return
        reply = Reply(message.headers)
        if entry.take is not None and reply.success:
            if message.headers.get("EventList") == "start" and entry.reply is None:
                entry.reply = reply
            else:
                self._done(action_id, Reply(not_whole="the list did not begin as one"))
            return
        self._done(action_id, reply)

    def _list_event(self, start: int, frame: bytes, message: Message) -> None:
        action_id = message.headers.get("ActionID", "")
        entry = self._pending.get(action_id)
        if entry is None or entry.reply is None:
            if action_id not in self._late:
                self._stray(start, frame, "a list item that was not asked for")
            return
        if "EventList" not in message.headers:
            self._take(action_id, entry, entry.reply, message)
            return
        headers, items = message.headers, entry.reply.items
        if message.has_repeats or headers["EventList"] != "Complete" or headers.get("ListItems") != str(len(items)):
            self._done(action_id, Reply(not_whole="the list does not count up"))
            return
        self._done(action_id, entry.reply)

    def _take(self, action_id: str, entry: _Pending, reply: Reply, message: Message) -> None:
        assert entry.take is not None
        try:
            reply.items.append(entry.take(message))
        except ValueError as error:
            self._done(action_id, Reply(not_whole=str(error)))
            return
        if len(reply.items) > MAX_LIST_ITEMS:
            self._done(action_id, Reply(not_whole=f"a list of more than {MAX_LIST_ITEMS} items"))

    def _done(self, action_id: str, reply: Reply) -> None:
        entry = self._forget(action_id)
        if reply.not_whole:
            self._late[action_id] = None  # the rest of it still comes
        entry.on_reply(reply)

    def _stray(self, start: int, frame: bytes, why: str) -> None:
        """Something that cannot be: no list that is being told is whole, and no event near it is believed."""
        if self._judge is not None:
            self._judge.broken(start, frame, why)
            return
        self._stats.dropped += 1
        for action_id in [name for name, entry in self._pending.items() if entry.reply is not None]:
            self._done(action_id, Reply(not_whole=f"{why} came in the midst of the list"))

    # ------------------------------------------------------------------------------------------------- quiet

    def _await_quiet(self) -> None:
        """Set the timer anew with every chunk: under load nearly none rings, and to ring is what costs (tests/load)."""
        if self._quiet_timer is not None:
            self._quiet_timer.cancel()
        self._quiet_timer = self._loop.call_later(QUIET_SECONDS + TIMER_SLACK_SECONDS, self._quiet)

    def _quiet(self) -> None:
        assert self._judge is not None
        self._quiet_timer = None
        if not self._judge.awaits_quiet or self.lost.done():
            return
        if self._framer.is_empty:
            self._judge.quiet()
        else:  # an unfinished message: what is held may be a part of the same event
            self._await_quiet()

    # --------------------------------------------------------------------------------------------------- end

    def abort(self, why: str) -> None:
        """Give the connection up at once, without waiting for the peer to take what was written."""
        self._give_up(why)
        self.transport.abort()

    def connection_lost(self, exc: BaseException | None) -> None:
        """The transport is gone: every action that waits fails now, none is kept to be sent again."""
        self._give_up(f"the connection was lost: {exc}" if exc else "Asterisk closed the connection")
        if self.factory is not None:  # panoramisk sets it a turn of the loop after the connection was made
            self.factory.connection_lost(exc)

    def close(self) -> None:
        """Close the transport (panoramisk's Manager calls this); unanswered actions are not kept."""
        self._give_up("the connection was closed")
        self.closed = True
        self.transport.close()

    def _give_up(self, why: str) -> None:
        if not self.lost.done():
            self.lost.set_result(why)
        for timer in (self._sweeper, self._quiet_timer):
            if timer is not None:
                timer.cancel()
        self._sweeper = self._quiet_timer = None
        pending, self._pending = self._pending, {}
        self._stats.pending = 0
        for entry in pending.values():
            entry.on_reply(Reply(lost=why))
