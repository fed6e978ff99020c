"""``callgate serve``: the gateway, until it is told to stop; as one process, or as several that share the switches."""

import asyncio
import os
import signal
import sys
from typing import TYPE_CHECKING, Annotated

import structlog
import typer

from gateway import logs
from gateway.cli.common import CONFIG, ConfigDir, fail, load_settings
from gateway.cli.errand import run
from gateway.settings import Machine, Settings, Share, ShareError, machine_of, part_of, read_share, shares
from gateway.settings.share import MOST_PROCESSES

if TYPE_CHECKING:
    from gateway.adapters.systemd import Supervisor

log = structlog.get_logger(__name__)


def serve(
    processes: Annotated[
        int | None,
        typer.Option(
            help="How many share the switches; else [gateway] processes.", min=1, max=MOST_PROCESSES, show_default=False
        ),
    ] = None,
    share: Annotated[str | None, typer.Option(hidden=True)] = None,
    config: ConfigDir = CONFIG,
) -> None:
    """Gate calls until stopped (SIGTERM, SIGINT); SIGHUP reloads. A stop settles nothing: the PBX keeps its caps."""
    settings = load_settings(config)
    try:
        if share is not None:
            _serve_part(settings, read_share(share))
            return
        logs.configure(settings.log.level, numbers=settings.log.numbers)
        for warning in settings.warnings:
            log.warning("config.warning", problem=str(warning))
        dealt = _dealt(settings, processes)
        if len(dealt) == 1:
            run(_serve_alone(settings))
            return
        machine = machine_of(settings, dealt)
    except ShareError as error:
        fail(f"{error}.")
    del settings  # it may be large
    if problem := run(_serve_all(machine)):
        fail(problem)


def _dealt(settings: Settings, processes: int | None) -> tuple[Share, ...]:
    wanted = processes or settings.gateway.processes
    dealt = shares([switch.name for switch in settings.switches], wanted)
    if len(dealt) < wanted and processes is not None:  # of those in the config the check has told
        remedy = f"{len(dealt)} are used, since a switch is gated by one"
        log.warning("processes.fewer", wanted=wanted, switches=len(settings.switches), remedy=remedy)
    return dealt


async def _serve_all(machine: Machine) -> str:
    """Why they ended by themselves; empty where they were told to."""
    from gateway.adapters.systemd import Supervisor  # noqa: PLC0415 - only this command pays for it
    from gateway.supervisor import Processes, ProcessesError  # noqa: PLC0415

    signals, supervisor = _Signals(), Supervisor()
    try:
        async with Processes(machine, supervisor, signals.stop) as processes, supervisor.kept_alive():
            while await signals.is_reload():
                processes.reload()
            supervisor.stopping()
    except ProcessesError as error:
        return str(error)
    log.info("processes.stopped")
    return processes.problem


def _serve_part(settings: Settings, share: Share) -> None:
    logs.configure(settings.log.level, numbers=settings.log.numbers, process=share.number)
    gone = sorted(set(share.switches) - {switch.name for switch in settings.switches})
    if gone:
        log.warning("switch.not_in_config", switches=gone, remedy="restart callgate: its processes have others then")
    run(_as_part(part_of(settings, share)))


async def _as_part(settings: Settings) -> None:
    from gateway.adapters.systemd import Parent  # noqa: PLC0415 - only this command pays for it

    signals, parent = _Signals(), Parent()
    parent.when_gone(signals.stop)
    await _serve(settings, signals, parent)


async def _serve_alone(settings: Settings) -> None:
    from gateway.adapters.systemd import Supervisor  # noqa: PLC0415 - only this command pays for it

    await _serve(settings, _Signals(), Supervisor())


async def _serve(settings: Settings, signals: "_Signals", supervisor: "Supervisor") -> None:
    from gateway import bootstrap  # noqa: PLC0415 - only this command pays for it

    async with bootstrap.Gateway(settings) as gateway, supervisor.kept_alive():
        log.info(
            "gateway.started",
            tenants=len(settings.tenants),
            switches=[switch.name for switch in settings.switches],
            http=f"http://{settings.http.host}:{gateway.http.port}",
        )
        supervisor.ready(settings.status)
        while await signals.is_reload():
            supervisor.reloading()
            await gateway.reload()
            supervisor.ready(gateway.settings.status)
        supervisor.stopping()
    log.info("gateway.stopped")


class _Signals:
    """What this process is told. A signal that comes before it is asked for is kept."""

    def __init__(self) -> None:
        self._stop = asyncio.Event()
        self._any = asyncio.Event()
        self._had_terminal = sys.stderr.isatty()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as nohup has it
            loop.add_signal_handler(signal.SIGHUP, self._hung_up)

    async def is_reload(self) -> bool:
        """Wait for a signal; whether it is one to reload, and not to stop."""
        await self._any.wait()
        self._any.clear()
        return not self._stop.is_set()

    def stop(self) -> None:
        """As if it were told to."""
        self._stop.set()
        self._any.set()

    def _hung_up(self) -> None:
        """A terminal that goes sends it too: who started this by hand on one wants it to stop with it."""
        if self._had_terminal and not os.isatty(sys.stderr.fileno()):
            self._stop.set()
        self._any.set()
