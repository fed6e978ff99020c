"""Asks a program of the admin's for a payment: the event as JSON on its input, the answer as JSON on its output.

No shell is between: the program and its arguments are run as they stand in the config. It gets nothing of this
process's environment but what a program needs to run, so that no secret of the gateway's goes there.
"""

import asyncio
import contextlib
import os
from collections.abc import Sequence
from typing import Final

import structlog

from gateway.adapters.child import end_group, first_bytes
from gateway.adapters.webhooks import payload
from gateway.core.recharge import MOST_ANSWER_BYTES
from gateway.ports import OutboxEvent
from gateway.service.slots import Slots

AT_ONCE: Final = 8  # of one program: one that hangs holds up itself
AT_ONCE_IN_ALL: Final = 64
MOST_COMPLAINT_BYTES: Final = 1000
_KEPT: Final = ("PATH", "HOME", "LANG", "LC_ALL", "TZ")

_log = structlog.get_logger("callgate.payments")


class CommandPayments:
    """Implements ``ports.PaymentProgram``; of each program some run at once, the others wait."""

    def __init__(self) -> None:
        self._turns = Slots(AT_ONCE_IN_ALL, AT_ONCE)

    async def ask(self, command: Sequence[str], timeout_seconds: int, event: OutboxEvent) -> bytes | None:
        """Run it once; the first bytes that it printed, one more than an answer may have.

        None, and a line in the log: it could not be run, ended with another code than 0, or not within its time. Then
        it is ended, with all that it started.
        """
        log = _log.bind(event_id=event.event_id, tenant=event.tenant, program=command[0])
        async with self._turns.at(command[0]):
            try:
                program = await asyncio.create_subprocess_exec(
                    *command,
                    stdin=asyncio.subprocess.PIPE,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=asyncio.subprocess.PIPE,
                    env={name: os.environ[name] for name in _KEPT if name in os.environ},
                    start_new_session=True,
                )
            except (OSError, ValueError) as error:
                log.error("payment.not_run", problem=str(error))
                return None
            try:
                async with asyncio.timeout(timeout_seconds):
                    told, complaint, _ = await asyncio.gather(
                        first_bytes(program.stdout, MOST_ANSWER_BYTES + 1),
                        first_bytes(program.stderr, MOST_COMPLAINT_BYTES),
                        _feed(program.stdin, payload(event)),
                    )
                    code = await program.wait()
            except TimeoutError:
                log.warning("payment.timed_out", seconds=timeout_seconds)
                return None
            finally:
                await end_group(program)
        if code != 0:
            log.warning("payment.failed", code=code, said=complaint.decode(errors="replace"))
            return None
        return told


async def _feed(stream: asyncio.StreamWriter | None, body: bytes) -> None:
    """A program need not read its input."""
    assert stream is not None, "it was asked for"
    with contextlib.suppress(ConnectionError):
        stream.write(body)
        await stream.drain()
    stream.close()
