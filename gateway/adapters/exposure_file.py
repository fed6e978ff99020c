"""Calls that were granted something on exposure, as one file of lines: what was lent, and what is over.

A line is appended and synced before the grant is told; all that came up in the meantime shares a sync, in a thread. The
last line of a call counts. A line that is not whole was never told of: it is the last one, and is left out. When there
is nothing lent any more the file is emptied; when it holds much more lines than calls, it is written anew. So it is
some seconds after a write that failed: a later process must not register a call that was over by then.
"""

import asyncio
import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final, cast

import structlog

from gateway.core.books import Pool
from gateway.core.curbs import NO_CURBS
from gateway.core.effects import Register
from gateway.ports import CallKey, Lent, Watch

log = structlog.get_logger(__name__)

FILE_NAME: Final = "exposure.jsonl"
_DAMAGED: Final = ".damaged"
_VERSION: Final = 1
RETRY_SECONDS: Final = 5.0  # after a write that failed
_SPARE_LINES: Final = 1_000  # beyond one for each call, before the file is written anew


class FileExposureStore:
    """Implements ``gateway.ports.ExposureStore`` in a folder that is made when it is first needed."""

    def __init__(self, folder: Path, watch: Watch) -> None:
        self._file = folder / FILE_NAME
        self._watch = watch
        self._lent: dict[CallKey, Lent] = {}  # as the file tells, once all is written
        self._lines: list[bytes] = []  # to be appended
        self._in_file = 0  # lines
        self._waiting: list[asyncio.Future[None]] = []
        self._writer: asyncio.Task[None] | None = None
        self._again: asyncio.TimerHandle | None = None  # the last write failed

    async def keep(self, lent: Lent) -> None:
        """Have it on disk before this returns. Raises OSError."""
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(written)
        self.note(lent)
        await written

    def note(self, lent: Lent) -> None:
        """Have it on disk soon."""
        self._lent[lent.key] = lent
        self._add(_to_line(lent))

    def forget(self, key: CallKey) -> None:
        """Have it gone soon."""
        if self._lent.pop(key, None) is not None:
            self._add(json.dumps({"over": [key.tenant, key.call_id]}).encode() + b"\n")

    async def kept(self) -> Sequence[Lent]:
        """What an earlier process left. Raises OSError. A file that cannot be read is set aside, and told."""
        self._lent, self._in_file, damage = await asyncio.to_thread(self._read)
        if damage:
            self._watch.fault("exposure")
            log.error(
                "exposure.damaged", file=str(self._file), problem=damage, remedy="calls may be uncharged: look into it"
            )
        return list(self._lent.values())

    async def close(self) -> None:
        """Wait until all is written; what could not be is tried once more."""
        while self._writer is not None:
            await asyncio.shield(self._writer)
        if self._again is not None:
            self._start()
            await asyncio.shield(cast("asyncio.Task[None]", self._writer))
            self._try_again_after(None)

    # ---------------------------------------------------------------------------------------------- in the event loop

    def _add(self, line: bytes) -> None:
        self._lines.append(line)
        self._start()

    def _start(self) -> None:
        if self._writer is None:
            self._writer = asyncio.get_running_loop().create_task(self._write_all(), name="callgate-exposure")

    async def _write_all(self) -> None:
        fault = None
        try:
            while True:
                lines, self._lines = self._lines, []
                waiting, self._waiting = self._waiting, []
                fault = await self._write(lines)
                for written in waiting:
                    if written.done():
                        continue
                    written.set_exception(fault) if fault is not None else written.set_result(None)
                if not self._lines:
                    break
        finally:
            self._writer = None
        self._try_again_after(fault)

    def _try_again_after(self, fault: OSError | None) -> None:
        if self._again is not None:
            self._again.cancel()
        loop = asyncio.get_running_loop()
        self._again = None if fault is None else loop.call_later(RETRY_SECONDS, self._start)

    async def _write(self, lines: list[bytes]) -> OSError | None:
        is_anew = self._in_file + len(lines) > 2 * len(self._lent) + _SPARE_LINES or not self._lent
        whole = [_to_line(lent) for lent in self._lent.values()] if is_anew else None
        try:
            await asyncio.to_thread(self._append if whole is None else self._replace, lines if whole is None else whole)
        except OSError as error:
            self._watch.fault("exposure")
            log.error("exposure.not_written", file=str(self._file), problem=str(error))
            self._in_file = 1 << 62  # what is in it now is not known: the next time it is written anew
            return error
        self._in_file = self._in_file + len(lines) if whole is None else len(whole)
        return None

    # --------------------------------------------------------------------------------------------------- in a thread

    def _append(self, lines: Sequence[bytes]) -> None:
        self._make_folder()
        is_new = not self._file.exists()
        with self._file.open("ab") as stream:
            _put(stream, lines)
        if is_new:
            _sync_folder(self._file.parent)

    def _replace(self, lines: Sequence[bytes]) -> None:
        self._make_folder()
        fresh = self._file.with_name(f"{FILE_NAME}.new")
        with fresh.open("wb") as stream:
            _put(stream, lines)
        fresh.replace(self._file)
        _sync_folder(self._file.parent)

    def _make_folder(self) -> None:
        if not self._file.parent.exists():
            self._file.parent.mkdir(parents=True, mode=0o700)
            _sync_folder(self._file.parent.parent)

    def _read(self) -> tuple[dict[CallKey, Lent], int, str]:
        try:
            lines = self._file.read_bytes().split(b"\n")
        except FileNotFoundError:
            return {}, 0, ""
        lent: dict[CallKey, Lent] = {}
        damage = ""
        for number, line in enumerate(lines[:-1], 1):  # behind the last line's end there is nothing, or no whole line
            try:
                _take(lent, line)
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
                damage = damage or f"line {number}: {type(error).__name__}: {error}"
        if damage:
            self._file.with_suffix(_DAMAGED).write_bytes(b"\n".join(lines))
        return lent, 1 << 62 if lines[-1] or damage else len(lines) - 1, damage


def _put(stream: Any, lines: Sequence[bytes]) -> None:
    stream.write(b"".join(lines))
    stream.flush()
    os.fsync(stream.fileno())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _to_line(lent: Lent) -> bytes:
    registration = asdict(lent.registration)
    del registration["curbs"]  # only to be held and settled: no limit counts it
    facts = {"version": _VERSION, "key": [lent.key.tenant, lent.key.call_id], "registration": registration}
    return json.dumps(facts | {"meta": lent.meta}, separators=(",", ":")).encode() + b"\n"


def _take(lent: dict[CallKey, Lent], line: bytes) -> None:
    """Read one line. Raises ValueError, KeyError, TypeError, AttributeError for what is none."""
    words: dict[str, Any] = json.loads(line)
    if "over" in words:
        lent.pop(_key(words["over"]), None)
        return
    if words["version"] != _VERSION:
        raise ValueError(f"its version is {words['version']!r}, this callgate reads {_VERSION}")
    key, told = _key(words["key"]), words["registration"]
    pool = told.pop("pool")
    numbers = (told[name] for name in ("step", "granted_seconds", "granted_micros", "answered_at_ms", "validity_ms"))
    if not all(type(number) is int for number in (*numbers, told["included_seconds"])):
        raise TypeError("a figure is no whole number")
    if type(told["leg"]) is not str or type(words["meta"]) is not str:
        raise TypeError("a name is no text")
    lent[key] = Lent(key, Register(**told, pool=pool and Pool(**pool), curbs=NO_CURBS), words["meta"])


def _key(words: Any) -> CallKey:
    tenant, call_id = words
    if type(tenant) is not str or type(call_id) is not str:
        raise TypeError("a call's key is no text")
    return CallKey(tenant, call_id)
