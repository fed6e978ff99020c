"""Several gateways on one machine, a process each: started with their share of the switches, and begun anew.

Each is an ordinary gateway that knows which switches are its own (``callgate serve --share``). It hears the end of this
process on its standard input, a socket, and then ends in order; there it also says what systemd would be told. What is
one for all of them is here: the embedded server, the socket for commands, the word to systemd. PROCESSES.md says why.
"""

import asyncio
import signal
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from typing import Any, Final, Self

import structlog

from gateway.adapters import tasks
from gateway.adapters.http.control import ControlError, ControlServer
from gateway.adapters.identity import kept_name
from gateway.adapters.locks import locked
from gateway.adapters.redis.embedded import EmbeddedServer
from gateway.adapters.redis.embedded_error import EmbeddedServerError
from gateway.adapters.systemd import Supervisor
from gateway.child import Child, Patience, command_of
from gateway.commands import Commands
from gateway.settings import Machine, Seat

log = structlog.get_logger(__name__)

LOCK_FILE: Final = "processes.lock"
END_SECONDS: Final = 20.0  # longer than an orderly end takes, and shorter than the TimeoutStopSec of the unit
START_SECONDS: Final = 300.0  # as TimeoutStartSec of the unit
START_LOOK_SECONDS: Final = 5.0
SERVER_AGAIN_SECONDS: Final = 1.0


class ProcessesError(Exception):
    """They cannot be started; the sentence says what to do."""


class Processes:
    """All of them, from the beginning of the block to its end. ``problem``: why they ended by themselves."""

    def __init__(
        self,
        machine: Machine,
        systemd: Supervisor,
        on_failure: Callable[[], None],
        command: Callable[[Machine, Seat], Sequence[str]] = command_of,
    ) -> None:
        """``on_failure``: one could not start at all. ``command`` starts one process."""
        self.children = [Child(seat, command(machine, seat), self._is_ready) for seat in machine.seats]
        self.problem = ""
        self._machine = machine
        self._systemd = systemd
        self._on_failure = on_failure
        self._were_ready = False
        self._keepers: dict[Child, asyncio.Task[None]] = {}
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Start them. Raises ProcessesError, EmbeddedServerError, OSError."""
        async with self._stack:
            await self._start()
            self._stack = self._stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        """End them in order: calls go on, what has happened is booked."""
        await self._stack.aclose()

    async def _start(self) -> None:
        folder, redis = self._machine.queue_dir, self._machine.redis
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        held = locked(folder / LOCK_FILE)
        if held is None:
            raise ProcessesError(f"callgate serves from {folder} already: stop that one, or name another queue_dir.")
        self._stack.callback(held.close)
        if self._machine.gateway is None:
            kept_name(folder)  # before there are several to make one
        if redis.is_embedded:
            server = await self._stack.enter_async_context(EmbeddedServer(redis.data_dir))
            self._run(_minded(server))
        await self._start_control()
        self._stack.push_async_callback(self._end)
        for child in self.children:
            self._keepers[child] = asyncio.create_task(self._keep(child))
        self._run(self._watch())

    async def _start_control(self) -> None:
        ask = Commands(self._machine.seats)
        socket_file = self._machine.control_socket
        control = ControlServer(socket_file, reload=ask.reload, diff=ask.diff, drain=ask.drain, processes=self._facts)
        try:
            await control.start()
        except ControlError as error:
            log.warning("control.not_there", problem=str(error))
        self._stack.push_async_callback(control.stop)

    def _run(self, errand: Coroutine[Any, Any, None]) -> None:
        self._stack.push_async_callback(tasks.end, asyncio.create_task(errand))

    # ---------------------------------------------------------------------------------------------- their lives

    async def _keep(self, child: Child) -> None:
        clock, patience = asyncio.get_running_loop().time, Patience()
        while not child.is_ending:
            began = clock()
            try:
                problem = await child.live()
            except OSError as error:
                problem = str(error)
            if child.is_ending:
                return
            if not (child.was_ready or self._were_ready):
                self.problem = f"Process {child.number} could not start ({problem}): what it said itself is above."
                self._on_failure()
                return
            lived_seconds = clock() - began
            pause_seconds = patience.after(lived_seconds)
            facts = {"problem": problem, "lived_seconds": round(lived_seconds, 1), "again_in_seconds": pause_seconds}
            log.error("process.died", process=child.number, switches=child.seat.share.switches, **facts)
            await asyncio.sleep(pause_seconds)

    def _is_ready(self) -> None:
        if not all(child.is_ready for child in self.children):
            return
        if not self._were_ready:
            log.info("processes.started", processes=len(self.children))
        self._were_ready = True
        self._systemd.ready(f"{self._machine.status}, by {len(self.children)} processes")

    async def _watch(self) -> None:
        """One whose event loop hangs is killed and begun anew, as systemd does it with one process (WatchdogSec)."""
        every_seconds = self._systemd.alive_seconds or START_LOOK_SECONDS
        loop = asyncio.get_running_loop()
        while True:
            looked_at = loop.time()
            await asyncio.sleep(every_seconds)
            if loop.time() - looked_at > 2 * every_seconds:
                continue  # this process was stopped itself: what they said meanwhile is not read yet
            for child in self.children:
                most_seconds = (self._systemd.watchdog_seconds or None) if child.was_ready else START_SECONDS
                if child.pid and most_seconds is not None and loop.time() - child.heard_at > most_seconds:
                    log.error("process.hung", process=child.number, remedy="it is killed, and begun anew")
                    child.send(signal.SIGKILL)

    async def _end(self) -> None:
        for child, keeper in self._keepers.items():
            child.end()
            if not child.pid and child.starts:  # it waits to be begun anew
                keeper.cancel()
        _, late = await asyncio.wait(self._keepers.values(), timeout=END_SECONDS)
        for child, keeper in self._keepers.items():
            if keeper in late:
                log.error("process.killed", process=child.number, problem=f"it had not ended after {END_SECONDS:g} s")
                child.send(signal.SIGKILL)
        await asyncio.gather(*self._keepers.values(), return_exceptions=True)

    def reload(self) -> None:
        """Have all of them read the config again, as at SIGHUP; each tells in the log what came of it."""
        self._systemd.reloading()
        for child in self.children:
            child.reload()

    async def _facts(self) -> dict[str, Any]:
        """Of each process, for a person and for commands."""
        return {"processes": [child.facts for child in self.children]}


async def _minded(server: EmbeddedServer) -> None:
    while True:
        try:
            await server.mind()
        except (EmbeddedServerError, OSError) as error:
            log.error("ledger.server_not_started", problem=str(error))
            await asyncio.sleep(SERVER_AGAIN_SECONDS)
