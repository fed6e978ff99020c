"""One manager connection, kept up: connect, log in, ping, and begin anew when anything is wrong.

Built on panoramisk's Manager for the connecting and the login. Its own reconnecting has one fixed pause, no
time-out, and goes on after a close; its pinger awaits no answer; it replays actions. ``_Manager`` takes
these out, and ``Link`` does them itself.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Sequence
from typing import Any, Literal, Never

import structlog
from panoramisk.manager import Manager

from gateway.adapters import tasks
from gateway.adapters.ami.actions import Fields, Reply
from gateway.adapters.ami.clock import PBXClock
from gateway.adapters.ami.facts import timestamp_us
from gateway.adapters.ami.protocol import LinkProtocol, OnReply, Take
from gateway.adapters.ami.settings import AmiSettings
from gateway.adapters.ami.stats import LinkStats
from gateway.adapters.ami.suspicion import Judge
from gateway.ports import SwitchUnavailable

_PING: Fields = (("Action", "Ping"),)
_log = structlog.get_logger("callgate.ami")
_silent = logging.getLogger("callgate.ami.panoramisk")  # a Link tells the same things, once and with a remedy
_silent.setLevel(logging.CRITICAL)


class LoginRefused(Exception):  # noqa: N818 - stays within the adapter
    """Asterisk refused the login; the sentence names switch, user and remedy."""


class _Everything:
    """Every action is to be forgotten when the connection is lost: none is ever replayed."""

    def __contains__(self, _action: object) -> bool:
        return True


class _Manager(Manager):  # type: ignore[misc]  # panoramisk is untyped
    """panoramisk's Manager for one connection, without its reconnecting, its pinging and its replaying."""

    pinger: Any

    def connection_made(self, f: "asyncio.Future[Any]") -> None:
        if not f.cancelled() and f.exception() is None:  # otherwise Link, which awaits the same task, tries again
            super().connection_made(f)

    def connection_lost(self, _exc: BaseException | None) -> None:
        self._cancel_pinger()

    def login(self, future: "asyncio.Future[Reply]") -> bool:
        accepted = not future.cancelled() and bool(super().login(future))  # else it was given up before its answer
        self._cancel_pinger()
        return accepted

    def ping(self) -> None:
        """Link pings, and awaits the answer."""

    async def send_awaiting_actions(self, *_: object) -> None:
        """Nothing is ever put away to be sent again."""

    def _cancel_pinger(self) -> None:
        if self.pinger is not None:
            self.pinger.cancel()
            self.pinger = None


class Link:
    """One connection of a switch. ``on_up`` and ``on_down(why)`` come in turns, from the event loop."""

    def __init__(
        self,
        settings: AmiSettings,
        role: Literal["events", "actions"],
        clock: PBXClock,
        *,
        on_up: Callable[[], None],
        on_down: Callable[[str], None],
        make_judge: Callable[[LinkStats], Judge] | None = None,
    ) -> None:
        self._settings = settings
        self._role = role
        self._clock = clock
        self._on_up = on_up
        self._on_down = on_down
        self._make_judge = make_judge
        self._protocol: LinkProtocol | None = None
        self._task: asyncio.Task[Never] | None = None
        self._is_stopping = False
        self.stats = LinkStats(name=f"{settings.name}/{role}")

    @property
    def is_up(self) -> bool:
        """Logged in, and a ping was answered."""
        return self.stats.is_logged_in

    def start(self) -> None:
        """Begin, and go on until ``stop``."""
        self._task = asyncio.get_running_loop().create_task(self._keep_up(), name=f"ami-{self.stats.name}")

    async def stop(self) -> None:
        """End the connection, without a word; nothing is tried again."""
        self._is_stopping = True
        if self._task is not None:
            await tasks.end(self._task)
            self._task = None

    def fail(self, why: str) -> None:
        """Give this connection up and make a new one."""
        if self._protocol is not None:
            self._protocol.abort(why)

    # ----------------------------------------------------------------------------------------------- actions

    def write(self, actions: Sequence[Fields], on_reply: OnReply) -> None:
        """Send actions in one write, in order, at once; ``on_reply`` is called with the Reply to each.

        Raises ValueError, SwitchUnavailable: then nothing was written, and it is never called.
        """
        why_not = self._up().write_all(actions, on_reply)
        if why_not:
            raise self._unavailable(why_not)

    async def ask(self, fields: Fields) -> Reply:
        """Send one action and wait for its answer. Raises ValueError, SwitchUnavailable."""
        return await self._answer(self._up().write(fields))

    async def ask_list(self, fields: Fields, take: Take) -> Reply:
        """Send an action that answers with a list; ``take`` is given each item.

        ``take`` raises ValueError for an item that cannot be: then the Reply says that the list is not
        whole. Raises as ``ask``.
        """
        return await self._answer(self._up().write(fields, self._settings.list_seconds, take))

    async def _answer(self, future: "asyncio.Future[Reply]") -> Reply:
        reply = await future
        if reply.lost:
            raise self._unavailable(reply.lost)
        return reply

    def _unavailable(self, why: str) -> SwitchUnavailable:
        return SwitchUnavailable(f"switch {self._settings.name}: {why}")

    def _up(self) -> LinkProtocol:
        if self._protocol is None or not self.stats.is_logged_in:
            raise SwitchUnavailable(self.stats.fault or f"switch {self._settings.name}: not logged in yet")
        return self._protocol

    # -------------------------------------------------------------------------------------------- connection

    async def _keep_up(self) -> Never:
        settings = self._settings
        backoff = settings.backoff_seconds
        while True:
            pause = backoff
            try:
                await self._one_connection()
                backoff = pause = settings.backoff_seconds
            except LoginRefused as refused:
                self._tell(str(refused))
                pause = settings.refused_retry_seconds
            except OSError as error:
                self._tell(
                    f"switch {settings.name}: no manager at {settings.host}:{settings.port} "
                    f"({_words(error)}); is Asterisk running, with enabled=yes in manager.conf?"
                )
                backoff = min(backoff * 2, settings.most_backoff_seconds)
            except SwitchUnavailable as error:
                self._tell(str(error))
                backoff = min(backoff * 2, settings.most_backoff_seconds)
            except Exception:  # noqa: BLE001 - whatever it is, the switch must be tried again, and it be told
                _log.exception("ami.link_failed", link=self.stats.name)
                self._tell(f"switch {settings.name}: the link failed for a reason of its own: see the log")
                pause = settings.most_backoff_seconds
            await asyncio.sleep(pause)

    async def _one_connection(self) -> None:
        """From connect to loss. Returns when it was up and is lost, raises when it did not come up."""
        settings = self._settings
        manager = self._manager()
        try:
            async with asyncio.timeout(settings.connect_seconds):
                protocol: LinkProtocol = (await manager.connect())[1]
            await self._log_in(manager.authenticated_future)
            self.stats.connects += 1
            self._protocol = protocol
            await self._ping(protocol)
            self.stats.is_logged_in = True
            self.stats.fault = ""
            _log.info("ami.up", link=self.stats.name, version=protocol.greeting)
            self._on_up()
            await self._watch(protocol)
        finally:
            was_up, self.stats.is_logged_in = self.stats.is_logged_in, False
            self._protocol = None
            manager.close()
            if manager.protocol is not None:
                manager.protocol.transport.abort()  # a half-open peer would never take the rest
            if was_up and not self._is_stopping:
                why = manager.protocol.lost.result()
                self._tell(f"switch {settings.name}: {why}")
                self._on_down(why)

    def _manager(self) -> _Manager:
        settings = self._settings
        judge = self._make_judge(self.stats) if self._make_judge is not None else None
        return _Manager(
            loop=asyncio.get_running_loop(),
            host=settings.host,
            port=settings.port,
            username=settings.username,
            secret=settings.secret,
            events="on" if self._role == "events" else "off",
            log=_silent,
            forgetable_actions=_Everything(),
            protocol_factory=lambda: LinkProtocol(self.stats, judge, settings.action_seconds, settings.login_seconds),
        )

    async def _log_in(self, future: "asyncio.Future[Reply] | None") -> None:
        settings = self._settings
        if future is None:
            raise SwitchUnavailable(f"switch {settings.name}: the login could not be sent")
        reply = await self._answer(future)
        if reply.success:
            return
        remedy = "check username, secret and permit of this user in manager.conf against the gateway's config"
        if "Already In Use" in reply.text:
            remedy = "two sessions are needed: set allowmultiplelogin=yes in manager.conf"
        raise LoginRefused(
            f"switch {settings.name}: Asterisk refused the manager user {settings.username!r} "
            f"({reply.text}); {remedy}; next try in {settings.refused_retry_seconds:g} s"
        )

    async def _watch(self, protocol: LinkProtocol) -> None:
        """Ping until the connection is lost; an answer that does not come is a loss."""
        while True:
            await asyncio.wait((protocol.lost,), timeout=self._settings.ping_interval_seconds)
            if protocol.lost.done():
                return
            try:
                await self._ping(protocol)
            except SwitchUnavailable:
                if not protocol.lost.done():
                    protocol.abort(f"no answer to a ping within {self._settings.ping_seconds:g} s")
                return

    async def _ping(self, protocol: LinkProtocol) -> None:
        sent_us = self._clock.local_us()
        future = protocol.write(_PING, self._settings.ping_seconds)
        received_us = sent_us

        def stamp(_: object) -> None:
            nonlocal received_us
            received_us = self._clock.local_us()

        future.add_done_callback(stamp)  # before the awaiting task is woken, which may have to queue
        reply = await self._answer(future)
        with contextlib.suppress(ValueError):  # a PBX whose ping tells no time leaves the clock as it is
            self._clock.sample(sent_us, received_us, timestamp_us(reply.headers.get("Timestamp", "")))
        self.stats.clock_offset_seconds = self._clock.now_ms() / 1000 - time.time()
        self.stats.round_trip_ms = (received_us - sent_us) / 1000

    def _tell(self, fault: str) -> None:
        if fault != self.stats.fault:  # once, not at every try
            _log.error("ami.down", link=self.stats.name, fault=fault)
        self.stats.fault = fault


def _words(error: OSError) -> str:
    return "no connection in time" if isinstance(error, TimeoutError) else (error.strerror or str(error))
