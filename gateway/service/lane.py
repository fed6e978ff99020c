"""A call's steps to the ledger: one after the other, none lost.

A step that books what has happened (answer, settle, release) stays at the head until the ledger took it, whatever
goes wrong; a reserve or an extend that got no answer is told at once, and the core decides what follows.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Protocol

import structlog

from gateway.core.books import Grant, Refused, Settled
from gateway.core.effects import Extend, RecordAnswer, Release, Reserve, Settle
from gateway.ports import CallKey, Ledger, LedgerRejected, LedgerUnavailable, Watch

log = structlog.get_logger(__name__)

LedgerStep = Reserve | RecordAnswer | Extend | Settle | Release
Answer = Grant | Refused | Settled

RETRY_FIRST_SECONDS = 0.1
RETRY_LONGEST_SECONDS = 1.0
# A refused call whose reserve was never answered: should it have happened after all, the reaper frees it.
UNHEARD_RELEASE_TRIES = 5
# The server is wrong, not the step: it is tried again until a person has mended the server.
SERVER_FAULTS = frozenset({"no_functions", "version"})


class Listener(Protocol):
    """Who is told what became of the steps."""

    def heard(self, answer: Answer) -> None:
        """The ledger's answer to a step."""
        ...

    def unheard(self) -> None:
        """A reserve or an extend got no answer: it may have happened or not."""
        ...

    def given_up(self, step: LedgerStep) -> None:
        """A step that the ledger will not take."""
        ...

    @property
    def is_refused(self) -> bool:
        """The call was refused: nothing was promised on what the lane still holds."""
        ...


class Lane:
    """The steps of one call that are not done."""

    __slots__ = ("_key", "_ledger", "_listener", "_meta", "_steps", "_watch", "_worker")

    def __init__(self, key: CallKey, ledger: Ledger, watch: Watch, listener: Listener, meta: Callable[[], str]) -> None:
        """``meta``: what a new process needs to go on with the call; written once, with the reserve."""
        self._key = key
        self._ledger = ledger
        self._watch = watch
        self._listener = listener
        self._meta = meta
        self._steps: deque[LedgerStep] = deque()
        self._worker: asyncio.Task[None] | None = None

    @property
    def has_to_book(self) -> bool:
        """Something has happened that the ledger was not told yet."""
        return any(isinstance(step, RecordAnswer | Settle | Release) for step in self._steps)

    def add(self, step: LedgerStep) -> None:
        """Send it after those before it. A settle drops extends that were not sent: the call has ended."""
        if isinstance(step, Settle) and len(self._steps) > 1:
            rest = [waiting for waiting in list(self._steps)[1:] if not isinstance(waiting, Extend)]
            self._steps = deque([self._steps[0], *rest])  # what is at the head is on its way already
        self._steps.append(step)
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work())

    def stop(self) -> None:
        """Send no more."""
        if self._worker is not None:
            self._worker.cancel()

    async def _work(self) -> None:
        tries = 0
        while self._steps:
            step = self._steps[0]
            try:
                answer = await self._send(step)
            except Exception as error:  # noqa: BLE001 - whatever it is, the step must not vanish with it
                tries += 1
                if tries == 1:
                    self._complain(step, error)
                if self._is_to_be_sent_again(step, error, tries):
                    await asyncio.sleep(min(RETRY_FIRST_SECONDS * 2 ** min(tries - 1, 9), RETRY_LONGEST_SECONDS))
                    continue
                self._steps.popleft()
                self._give_up(step)
            else:
                self._steps.popleft()
                if answer is not None:
                    self._listener.heard(answer)
            tries = 0

    async def _send(self, step: LedgerStep) -> Answer | None:
        ledger, key = self._ledger, self._key
        match step:
            case Reserve():
                return await ledger.reserve(key, step.ladder, step.validity_ms, self._meta())
            case RecordAnswer():
                await ledger.answer(key, step.leg, step.answered_at_ms, step.validity_ms)
                return None
            case Extend():
                return await ledger.extend(key, step.step, step.committed_micros, step.ladder, step.validity_ms)
            case Settle():
                return await ledger.settle(
                    key, step.step, step.charge_micros, step.seconds, is_estimate=step.is_estimate
                )
            case Release():
                return await ledger.release(key)

    def _is_to_be_sent_again(self, step: LedgerStep, error: Exception, tries: int) -> bool:
        if isinstance(step, Reserve | Extend):
            return False
        if isinstance(error, LedgerRejected):
            return error.code in SERVER_FAULTS
        return tries < UNHEARD_RELEASE_TRIES or not self._listener.is_refused

    def _give_up(self, step: LedgerStep) -> None:
        if isinstance(step, Reserve | Extend):
            self._listener.unheard()
        else:
            self._listener.given_up(step)

    def _complain(self, step: LedgerStep, error: Exception) -> None:
        facts = {"call": self._key.call_id, "step": type(step).__name__}
        if isinstance(error, LedgerUnavailable):
            log.warning("ledger.unavailable", **facts, problem=str(error))
        elif isinstance(error, LedgerRejected):
            # The books disagree with this process. They win; a person is told.
            self._watch.fault(f"ledger_{error.code}")
            log.error("ledger.rejected", **facts, code=error.code, problem=str(error))
        else:
            self._watch.fault("ledger_step")
            log.error("ledger.step_failed", **facts, exc_info=error)
