"""Tasks that are to end."""

import asyncio
from typing import Any, Final

_PATIENCE_SECONDS: Final = 0.25


async def end(*tasks: asyncio.Task[Any]) -> None:
    """Cancel tasks, again and again, until all have ended.

    Once is not enough, since libraries lose a cancellation now and then: redis-py 8.1 while it connects (seen: a
    gateway that was stopped as it started went on for ever), ``asyncio.wait_for`` of Python 3.11 when what it
    waits for is done in the same turn. A task that failed is told by the event loop's own log.
    """
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=_PATIENCE_SECONDS)
