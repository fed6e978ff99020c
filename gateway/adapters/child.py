"""A program that was started and whose output is read: what is the same for all of them."""

import asyncio
import contextlib
import os
import signal
from typing import Final

_CHUNK: Final = 65_536


async def first_bytes(stream: asyncio.StreamReader | None, most: int) -> bytes:
    """The first bytes of a stream; the rest is read and forgotten, so that the program does not wait for a reader."""
    assert stream is not None, "it was asked for"
    found = b""
    while chunk := await stream.read(_CHUNK):
        found += chunk[: most - len(found)]
    return found


async def end_group(program: asyncio.subprocess.Process) -> None:
    """End a program that leads a group of its own: nothing that it started is left."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(program.pid, signal.SIGKILL)
    await program.wait()
