"""Work in a thread of its own: for what may hang for long, as the look-up of a name does.

The event loop's threads are few, and money waits for them: what is booked is written to disk in one.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import Any


async def in_daemon(work: Callable[[], Any]) -> Any:
    """The result of work in a thread of its own. Raises what it raises; cancelled, the thread goes on unheard."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Any] = loop.create_future()

    def tell(result: Any, error: Exception | None) -> None:
        if future.done():
            return
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)

    def run() -> None:
        result, error = None, None
        try:
            result = work()
        except Exception as fault:  # noqa: BLE001 - it is raised where the result is waited for
            error = fault
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(tell, result, error)

    threading.Thread(target=run, daemon=True, name="callgate-lookup").start()
    return await future
