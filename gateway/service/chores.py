"""Work that nobody waits for: kept until it ends, and told when it fails."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import structlog

from gateway.ports import Watch

log = structlog.get_logger(__name__)


class Chores:
    """The tasks of one owner."""

    __slots__ = ("_tasks", "_watch")

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._tasks: set[asyncio.Task[None]] | None = None  # an empty set for each live call would be its largest part

    @property
    def call_id(self) -> str:
        """For the log, where it is a call's."""
        return ""

    @property
    def under_way(self) -> int:
        """How many there are."""
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
            log.error("errand.failed", call=self.call_id, exc_info=error)
