"""Settles that the ledger has not taken, as files: each a few lines of JSON, there as a whole or not at all.

A file is written under another name, synced, and renamed; then the folder is synced. All of it is done in a thread,
for whatever came up in the meantime together. A settle that the ledger takes before its turn came touches no disk.
The names are hashes of tenant and call: what a switch calls its channels is nobody's path.
"""

import asyncio
import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from typing import Any, Final, get_args

import structlog

from gateway.core.books import Pool
from gateway.core.curbs import NO_CURBS
from gateway.core.effects import RecordAnswer, Register
from gateway.ports import CallKey, Unsettled, Watch

log = structlog.get_logger(__name__)

_VERSION: Final = 1
_PENDING: Final = ".json"
_REJECTED: Final = ".rejected"  # the ledger will not take it
_DAMAGED: Final = ".damaged"  # it cannot be read
_PLAIN: Final = ("step", "charge_micros", "seconds", "included_seconds", "is_estimate")


class FileSettleQueue:
    """Implements ``gateway.ports.SettleQueue`` in a folder of its own, made when it is first needed."""

    def __init__(self, folder: Path, watch: Watch) -> None:
        self._folder = folder
        self._watch = watch
        # What is to be on disk of each call, beyond what is: a file of that kind, or none.
        self._changes: dict[CallKey, tuple[Unsettled, str | None]] = {}
        self._failed: dict[CallKey, tuple[Unsettled, str | None]] = {}  # tried again with the next one
        self._writer: asyncio.Task[None] | None = None
        self._waiting: set[CallKey] = set()

    def __len__(self) -> int:
        """How many settles of this process the ledger has not taken."""
        return len(self._waiting)

    def put(self, entry: Unsettled) -> None:
        """Keep it until it is done."""
        self._change(entry, _PENDING)

    def done(self, entry: Unsettled) -> None:
        """Forget it."""
        self._change(entry, None)

    def set_aside(self, entry: Unsettled) -> None:
        """Keep it for a person, and give it out no more."""
        self._change(entry, _REJECTED)

    async def pending(self) -> Sequence[Unsettled]:
        """What an earlier process left. A file that cannot be read is set aside, and told once."""
        entries, damaged = await asyncio.to_thread(self._read_all)
        for file, why in damaged:
            self._watch.fault("unsettled")
            log.error("unsettled.damaged", file=str(file), problem=why, remedy="a call may be uncharged: look into it")
        return entries

    async def close(self) -> None:
        """Wait until all is written; what could not be is tried once more."""
        while self._writer is not None:
            await asyncio.shield(self._writer)
        if self._failed:
            self._changes, self._failed = self._failed, {}
            await self._write_all()

    # ---------------------------------------------------------------------------------------------- in the event loop

    def _change(self, entry: Unsettled, kind: str | None) -> None:
        (self._waiting.add if kind == _PENDING else self._waiting.discard)(entry.key)
        self._changes, self._failed = {**self._failed, **self._changes, entry.key: (entry, kind)}, {}
        if self._writer is None:
            self._writer = asyncio.get_running_loop().create_task(self._write_all(), name="callgate-unsettled")

    async def _write_all(self) -> None:
        try:
            while self._changes:
                changes, self._changes = self._changes, {}
                for entry, why in await asyncio.to_thread(self._apply, list(changes.values())):
                    if entry.key not in self._changes:
                        self._failed[entry.key] = changes[entry.key]
                    self._watch.fault("unsettled")
                    log.error("unsettled.not_written", call=entry.key.call_id, tenant=entry.key.tenant, problem=why)
        finally:
            self._writer = None

    # --------------------------------------------------------------------------------------------------- in a thread

    def _apply(self, changes: Sequence[tuple[Unsettled, str | None]]) -> list[tuple[Unsettled, str]]:
        """Make the changes; return those that failed, and why."""
        failed: list[tuple[Unsettled, str]] = []
        for entry, kind in changes:
            try:
                self._make_so(entry, kind)
            except OSError as error:
                failed.append((entry, str(error)))
        try:
            if self._folder.exists():  # else nothing was ever kept
                _sync_folder(self._folder)
        except OSError as error:
            failed += [(entry, str(error)) for entry, kind in changes if kind is not None]
        return failed

    def _make_so(self, entry: Unsettled, kind: str | None) -> None:
        pending = self._folder / _name(entry.key)
        if kind is not None:
            self._write(pending.with_suffix(kind), entry)
        if kind != _PENDING:
            pending.unlink(missing_ok=True)

    def _write(self, file: Path, entry: Unsettled) -> None:
        if not self._folder.exists():
            self._folder.mkdir(parents=True, mode=0o700)
            _sync_folder(self._folder.parent)
        temporary = file.with_name(f"{file.name}.new")
        with temporary.open("wb") as stream:
            stream.write(_to_json(entry))
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(file)

    def _read_all(self) -> tuple[list[Unsettled], list[tuple[Path, str]]]:
        entries, damaged = [], []
        for file in sorted(self._folder.glob(f"*{_PENDING}")):
            try:
                entries.append(_from_json(file.read_bytes()))
            except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
                aside = file.with_suffix(_DAMAGED)
                try:
                    file.replace(aside)
                except OSError:
                    aside = file
                damaged.append((aside, f"{type(error).__name__}: {error}"))
        return entries, damaged


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _name(key: CallKey) -> str:
    # No tenant has a newline in it, so no two calls share a name.
    return hashlib.sha256(f"{key.tenant}\n{key.call_id}".encode()).hexdigest()[:40] + _PENDING


def _to_json(entry: Unsettled) -> bytes:
    return json.dumps({"version": _VERSION, **asdict(entry)}, indent=1).encode() + b"\n"


def _from_json(text: bytes) -> Unsettled:
    """Read an entry. Raises ValueError, KeyError, TypeError for what is none."""
    words: dict[str, Any] = json.loads(text)
    if words["version"] != _VERSION:
        raise ValueError(f"its version is {words['version']!r}, this callgate reads {_VERSION}")
    registration = words.get("registration")  # files of former releases have none
    if registration is not None:
        pool = registration["pool"]
        registration = Register(**registration | {"pool": pool and Pool(**pool), "curbs": NO_CURBS})
    entry = Unsettled(
        CallKey(**words["key"]),
        **{name: words[name] for name in _PLAIN},
        answer=words["answer"] and RecordAnswer(**words["answer"]),
        registration=registration,
        meta=words.get("meta", ""),
    )
    _check(entry)
    return entry


def _check(record: Any) -> None:
    """Raise TypeError where a value is not of its field's own type: a bool is no number here."""
    for field in fields(record):
        value = getattr(record, field.name)
        if value is NO_CURBS:
            continue
        if type(value) not in (get_args(field.type) or (field.type,)):
            raise TypeError(f"{field.name} cannot be {value!r}")
        if is_dataclass(value):
            _check(value)
