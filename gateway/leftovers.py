"""What waits for the ledger in folders that no process serves any more, since their number is another one now.

A process keeps what the ledger has not taken in a folder of its own, ``queue_dir/i``, and one that is alone in
``queue_dir`` itself. Who serves a folder holds its lock, as long as it lives. What is left in one that nobody serves is
sent from there by whoever comes first, as a next process of that folder would have done: settles, then what was lent.
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Final

import structlog

from gateway.adapters.exposure_file import FILE_NAME, FileExposureStore
from gateway.adapters.locks import locked
from gateway.adapters.settle_queue import FileSettleQueue
from gateway.ports import Ledger, LedgerUnavailable, Watch
from gateway.service.exposure import Exposures
from gateway.service.unsettled import Arrears
from gateway.settings import Share
from gateway.settings.share import MOST_PROCESSES

log = structlog.get_logger(__name__)

LOCK_FILE: Final = "gateway.lock"
LOOK_SECONDS: Final = 0.05
AGAIN_SECONDS: Final = 10.0
# A folder that another process of this machine has: one that is about to end, or sends what is left there.
PATIENCE_SECONDS: Final = 3.0
TOLD_AGAIN_SECONDS: Final = 10.0


def try_lock(folder: Path) -> IO[bytes] | None:
    """Serve the folder until the file is closed; None where another process does. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return locked(folder / LOCK_FILE)


async def lock(folder: Path) -> IO[bytes]:
    """Wait until no other process serves the folder. Raises OSError."""
    told_at = time.monotonic()
    while (held := try_lock(folder)) is None:
        await asyncio.sleep(LOOK_SECONDS)
        if time.monotonic() - told_at >= TOLD_AGAIN_SECONDS:
            told_at = time.monotonic()
            remedy = "it is waited for; end it where it hangs, or give this config a queue_dir of its own"
            log.error("queue.in_use", folder=str(folder), remedy=remedy)
    return held


class Leftovers:
    """Of the folders beside this process's own."""

    def __init__(
        self, own: Path, share: Share | None, ledger: Ledger, watch: Watch, outbox_written: Callable[[str], None]
    ) -> None:
        """``own``: the folder of this process."""
        self._root = own if share is None else own.parent
        self._of = 0 if share is None else share.of
        self._ledger = ledger
        self._watch = watch
        self._outbox_written = outbox_written

    async def run(self) -> None:
        """Until cancelled: look again, as who served a folder may have ended."""
        while True:
            await asyncio.sleep(AGAIN_SECONDS)
            try:
                await self.send(patience_seconds=0.0)
            except LedgerUnavailable as error:
                log.warning("leftovers.postponed", problem=str(error))

    async def send(self, patience_seconds: float = PATIENCE_SECONDS) -> None:
        """Bring all that is left to the ledger. Raises LedgerUnavailable: then the rest stays where it is.

        A folder that is still served after ``patience_seconds`` is looked at later.
        """
        deadline = time.monotonic() + patience_seconds
        try:
            for folder in await asyncio.to_thread(lambda: list(self._forsaken())):
                while (held := try_lock(folder)) is None and time.monotonic() < deadline:  # noqa: ASYNC110
                    await asyncio.sleep(LOOK_SECONDS)
                if held is not None:
                    with held:
                        await self._send(folder)
        except OSError as error:
            self._watch.fault("unsettled")
            log.error("leftovers.not_read", problem=str(error), remedy="calls may be uncharged: mend the folder")

    def _forsaken(self) -> Iterator[Path]:
        """Those of which no process of this number is the one, and in which there is something."""
        beside = [self._root / str(number) for number in range(self._of, MOST_PROCESSES)]
        for folder in (*([self._root] if self._of else []), *beside):
            if any(folder.glob("*.json")) or _has_lent(folder):
                yield folder

    async def _send(self, folder: Path) -> None:
        queue, lent = FileSettleQueue(folder, self._watch), FileExposureStore(folder, self._watch)
        arrears = Arrears(self._ledger, queue, self._watch, self._outbox_written)
        try:
            await arrears.load()
            if len(arrears):
                raise LedgerUnavailable(f"{len(arrears)} settlements in {folder} were not taken")
            await Exposures(lent, self._watch).load(self._ledger, arrears)
        finally:
            await queue.close()
            await lent.close()
        log.info("leftovers.sent", folder=str(folder), meaning="what a former process had left there is booked")


def _has_lent(folder: Path) -> bool:
    try:
        return (folder / FILE_NAME).stat().st_size > 0
    except FileNotFoundError:
        return False
