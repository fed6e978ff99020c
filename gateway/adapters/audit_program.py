"""``callgate audit`` as a process of its own, at the lowest priority: adding up a journal would make verdicts wait."""

import asyncio
import contextlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Final

from gateway.adapters.child import end_group, first_bytes
from gateway.ports import Audited, Misfit, NotAuditedError

MOST_SECONDS: Final = 6 * 3600.0  # some 36,000 entries a second
MOST_REPORT_BYTES: Final = 64 * 2**20
MOST_COMPLAINT_BYTES: Final = 1000
LOWEST: Final = 19


class AuditProgram:
    """Implements ``ports.BooksAudit``. ``callgate audit`` keeps its report in ``file``, by hand or from here."""

    def __init__(self, config_dir: Path, file: Path, most_seconds: float = MOST_SECONDS) -> None:
        self.command = [sys.executable, "-P", "-m", "gateway.cli", "audit", "--json", "--config", str(config_dir)]
        self._file = file
        self._most_seconds = most_seconds

    def last(self, after: float) -> Audited | None:
        """The last audit, if it ended after that Unix second; None also where the file is not there, or no report."""
        try:
            ended_at = self._file.stat().st_mtime
            return _read(self._file.read_bytes(), ended_at) if ended_at > after else None
        except (OSError, NotAuditedError):
            return None

    async def run(self) -> Audited:
        """Prove all books, by the config as it is on disk. Raises NotAuditedError."""
        return _read(await self._report(), time.time())

    async def _report(self) -> bytes:
        try:
            # It stays in this session: a new one may get a share of the CPU that no priority takes from it (autogroup).
            program = await asyncio.create_subprocess_exec(
                *self.command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                process_group=0,
            )
        except OSError as error:
            raise NotAuditedError(f"it could not be started: {error}") from None
        _give_way(program.pid)
        try:
            async with asyncio.timeout(self._most_seconds):
                report, complaint = await asyncio.gather(
                    first_bytes(program.stdout, MOST_REPORT_BYTES), first_bytes(program.stderr, MOST_COMPLAINT_BYTES)
                )
                code = await program.wait()
        except TimeoutError:
            raise NotAuditedError(f"it was ended after {self._most_seconds:.0f} s") from None
        finally:
            await end_group(program)
        if not report:
            said = complaint.decode(errors="replace").strip()
            raise NotAuditedError(f"it ended with code {code}: {said}")
        return report


def keep_report(file: Path, report: str) -> None:
    """Keep the report of all tenants, whole or not at all. A disk that takes nothing has told so elsewhere."""
    beside = file.with_suffix(".new")
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        beside.write_text(report)
        beside.replace(file)


def _give_way(pid: int) -> None:
    """Run only when nobody else wants to; where the system knows no such class, at the lowest priority."""
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, pid, LOWEST)
    with contextlib.suppress(OSError):
        if sys.platform == "linux":
            os.sched_setscheduler(pid, os.SCHED_IDLE, os.sched_param(0))


def _read(report: bytes, ended_at: float) -> Audited:
    try:
        rows = json.loads(report)
        misfits = {
            str(row["tenant"]): Misfit(str(found[0]["sentence"]), str(found[0]["call"]), len(found))
            for row in rows
            if (found := row["findings"])
        }
        return Audited(ended_at, len(rows), sum(int(row["entries"]) for row in rows), misfits)
    except (ValueError, TypeError, LookupError, RecursionError) as error:
        raise NotAuditedError(f"what it said is no report ({type(error).__name__})") from None
