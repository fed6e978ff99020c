"""Work that nobody waits for: kept until it ends, and told when it fails."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import structlog

from gateway.ports import Watch

log = structlog.get_logger(__name__)


class Chores:
    """The tasks of one owner; ``call_id`` is for the log, where it is a call's."""

    __slots__ = ("_call_id", "_tasks", "_watch")

    def __init__(self, watch: Watch, call_id: str = "") -> None:
        self._watch = watch
        self._call_id = call_id
        self._tasks: set[asyncio.Task[None]] | None = None  # an empty set for each live call would be its largest part

    def __len__(self) -> int:
        """How many are under way."""
        return len(self._tasks or ())

    def spawn(self, errand: Coroutine[Any, Any, None]) -> None:
        """Begin one."""
        task = asyncio.create_task(errand)
        if self._tasks is None:
            self._tasks = set()
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def stop(self) -> None:
        """End what is under way."""
        for task in self._tasks or ():
            task.cancel()

    def _done(self, task: asyncio.Task[None]) -> None:
        if self._tasks is not None:
            self._tasks.discard(task)
            self._tasks = self._tasks or None
        if not task.cancelled() and (error := task.exception()) is not None:
            self._watch.fault("errand")
            log.error("errand.failed", call=self._call_id, exc_info=error)
