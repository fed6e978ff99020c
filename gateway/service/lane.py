"""A call's steps to the ledger: one after the other, none lost.

Books that know less of the call than this process lost it in a fail-over, or estimated it in the meantime: it is
registered again, past the limit if need be, and the step is sent once more.

A step that books what has happened (answer, settle, release) stays at the head until the ledger took it, whatever
goes wrong, and a settle that has to wait is kept on disk: it must outlive this process. A reserve or an extend that
got no answer is told at once, and the core decides what follows.
"""

import asyncio
from collections.abc import Awaitable
from dataclasses import replace
from typing import Protocol

import structlog

from gateway.core.curbs import NO_CURBS
from gateway.core.effects import Extend, RecordAnswer, Register, Release, Reserve, Settle, Shrink
from gateway.ports import CallKey, Ledger, LedgerRejected, LedgerUnavailable, OwnersKey, SettleQueue, Unsettled, Watch
from gateway.service.guard import Tenure
from gateway.service.sending import Answer, LedgerStep, send

log = structlog.get_logger(__name__)

_OF_ANSWERED = (RecordAnswer, Extend, Shrink, Settle)
# What has happened, whoever owns the switch by now; all else is its owner's to decide.
_FACTS = (RecordAnswer, Settle)

RETRY_FIRST_SECONDS = 0.1
RETRY_LONGEST_SECONDS = 1.0
# A refused call whose reserve was never answered: should it have happened after all, the reaper frees it.
UNHEARD_RELEASE_TRIES = 5
# The server is wrong, not the step: it is tried again until a person has mended the server.
SERVER_FAULTS = frozenset({"no_functions", "version"})
# The books know less of the call than what they granted.
LOST_WRITES = frozenset({"unknown_call", "exceeds_grant", "bad_state"})
SETTLED = "settled"  # by another gateway that had the call, too
STALE = "stale_step"
FENCED = "fenced"  # another gateway has taken the call over


class Listener(Protocol):
    """Who is told what became of the steps."""

    def meta(self) -> str:
        """What a new process needs to go on with the call; written with the reserve."""
        ...

    def heard(self, answer: Answer) -> None:
        """The ledger's answer to a step."""
        ...

    def unheard(self, *, was_rejected: bool = False) -> None:
        """A reserve, an extend or a shrink got no answer, or one that is none: it may have happened or not."""
        ...

    def given_up(self, step: LedgerStep) -> None:
        """A step that the ledger will not take."""
        ...

    def settled_elsewhere(self) -> None:
        """The call was settled by another gateway, which writes its record."""
        ...

    def registration(self) -> Register | None:
        """What the ledger must hold for the call; None before its answer."""
        ...

    def registered(self, step: Register) -> None:
        """The ledger holds it."""
        ...

    def has_rest(self) -> None:
        """No step is left: the lane can be let go of, and the next one have another."""
        ...

    @property
    def is_refused(self) -> bool:
        """The call was refused: nothing was promised on what the lane still holds."""
        ...


_OF_NO_LEASE = Tenure()


class Lane:
    """The steps of one call that are not done. A call that talks has none, and needs no lane for most of its time."""

    __slots__ = (
        "_again",
        "_is_stopped",
        "_kept",
        "_key",
        "_ledger",
        "_listener",
        "_queue",
        "_registered_for",
        "_sent",
        "_steps",
        "_tenure",
        "_tries",
        "_watch",
    )

    def __init__(
        self,
        key: CallKey,
        ledger: Ledger,
        queue: SettleQueue,
        watch: Watch,
        listener: Listener,
        tenure: Tenure = _OF_NO_LEASE,
    ) -> None:
        self._tenure = tenure
        self._key = key
        self._ledger = ledger
        self._queue = queue
        self._watch = watch
        self._listener = listener
        self._steps: tuple[LedgerStep, ...] = ()
        self._sent: asyncio.Future[Answer | None] | None = None  # of the step at the head
        self._again: asyncio.TimerHandle | None = None  # sends the head once more
        self._tries = 0
        self._kept: Unsettled | None = None  # the settle, on disk
        self._registered_for: LedgerStep | None = None  # once for a step: it may be refused for its own sake
        self._is_stopped = False

    @property
    def has_to_book(self) -> bool:
        """Something has happened that the ledger was not told yet, and is to be told from here."""
        if self._is_stopped:
            return False
        return any(isinstance(step, RecordAnswer | Register | Settle | Release) for step in self._steps)

    @property
    def is_idle(self) -> bool:
        """It has nothing to send."""
        return not self._steps

    @property
    def is_stopped(self) -> bool:
        """It sends no more."""
        return self._is_stopped

    @property
    def is_behind(self) -> bool:
        """Such a step was sent in vain, and waits to be sent again."""
        return self._tries > 0 and self.has_to_book

    def add(self, step: LedgerStep) -> None:
        """Send it after those before it. A settle drops extends that were not sent: the call has ended."""
        if self._is_stopped:
            return
        if isinstance(step, Settle) and len(self._steps) > 1:
            rest = [waiting for waiting in self._steps[1:] if not isinstance(waiting, Extend | Shrink)]
            self._steps = (self._steps[0], *rest)  # what is at the head is on its way already
        if self._again is not None and isinstance(
            step, Extend | Shrink
        ):  # the ledger is silent: it is told so, a turn on
            asyncio.get_running_loop().call_soon(self._tell_unheard)
            return
        self._steps = (*self._steps, step)
        if self._sent is None and self._again is None:
            self._send_head()

    def stop(self) -> None:
        """Send no more, and tell no more. A settle that is not known to be booked is left to the next process."""
        if not self._is_stopped:
            self._keep_settle()
        self._is_stopped = True
        for waiting in (self._sent, self._again):
            if waiting is not None:
                waiting.cancel()

    def leave(self) -> None:
        """Another gateway decides from here on: what has happened is still sent, and the rest dropped."""
        facts = [step for step in self._steps if isinstance(step, _FACTS)]
        if not facts:
            self.stop()
            self._steps = ()
            return
        if not isinstance(self._steps[0], _FACTS):
            for waiting in (self._sent, self._again):
                if waiting is not None:
                    waiting.cancel()
            self._sent = self._again = None
        self._steps = tuple(facts)
        if self._sent is None and self._again is None:
            self._send_head()

    def _send_head(self) -> None:
        self._again = None
        if isinstance(self._steps[0], Register):  # while it waited, more may have been granted
            self._put_at_head(self._listener.registration() or self._steps[0])
        try:
            self._sent = asyncio.ensure_future(self._send(self._steps[0]))
        except Exception as error:  # noqa: BLE001 - it is told a turn later, as all else: who added the step is not done
            self._sent = asyncio.get_running_loop().create_future()
            self._sent.set_exception(error)
        self._sent.add_done_callback(self._done)

    def _send(self, step: LedgerStep) -> Awaitable[Answer | None]:
        key = self._key
        if self._tenure.fence and not isinstance(step, _FACTS):
            key = OwnersKey(key.tenant, key.call_id, self._tenure.fence)
        return send(self._ledger, key, step, self._listener.meta)

    def _done(self, sent: "asyncio.Future[Answer | None]") -> None:
        if self._is_stopped or sent is not self._sent:  # it was called back, or was done as it was to be
            return
        self._sent = None
        error = sent.exception()
        try:
            if error is None:
                self._take(sent.result())
            else:
                self._fail(error)
        finally:  # whatever the listener made of it, the steps behind it are booked
            if self._steps and self._sent is None and self._again is None and not self._is_stopped:
                self._send_head()
            elif not self._steps and not self._is_stopped:
                self._listener.has_rest()

    def _take(self, answer: Answer | None) -> None:
        step = self._pop()
        if isinstance(step, Register):
            self._listener.registered(step)
        elif answer is not None:
            self._listener.heard(answer)

    def _put_at_head(self, step: LedgerStep) -> None:
        self._steps = (step, *self._steps[1:])

    def _pop(self) -> LedgerStep:
        """The head is in the books."""
        step, *rest = self._steps
        self._steps = tuple(rest)
        self._tries = 0
        if self._kept is not None and isinstance(step, Settle):
            self._queue.done(self._kept)
        return step

    def _fail(self, error: BaseException) -> None:
        """Whatever it is, the step must not vanish with it."""
        step = self._steps[0]
        self._tries += 1
        if isinstance(error, LedgerRejected) and error.code == FENCED:
            self._watch.fault(FENCED)
            log.warning("ledger.fenced", call=self._key.call_id, step=type(step).__name__)
            self.leave()
            return
        if isinstance(step, Settle) and isinstance(error, LedgerRejected) and error.code in {SETTLED, STALE}:
            self._settle_anew(step, error.code)
            return
        if self._tries == 1:
            self._complain(step, error)
        if self._register(step, error):
            return
        if self._is_to_be_sent_again(step, error):
            self._keep_settle()
            seconds = min(RETRY_FIRST_SECONDS * 2 ** min(self._tries - 1, 9), RETRY_LONGEST_SECONDS)
            self._again = asyncio.get_running_loop().call_later(seconds, self._send_head)
            self._give_up_waiting()
            return
        self._steps = self._steps[1:]
        self._tries = 0
        self._give_up(step, was_rejected=not isinstance(error, LedgerUnavailable))

    def _give_up_waiting(self) -> None:
        """An extend behind a step that is to be sent again waits for a silent ledger: the core decides what follows."""
        booking = [step for step in self._steps if not isinstance(step, Extend | Shrink)]
        if len(booking) < len(self._steps):  # there is one at the most: its call waits for what comes of it
            self._steps = tuple(booking)
            self._listener.unheard()

    def _tell_unheard(self) -> None:
        if not self._is_stopped:
            self._listener.unheard()

    def _register(self, step: LedgerStep, error: BaseException) -> bool:
        """Put a registration before a step that the books know too little for; False where that cannot help."""
        if not isinstance(error, LedgerRejected) or error.code not in LOST_WRITES or self._registered_for is step:
            return False
        registration = self._listener.registration() if isinstance(step, _OF_ANSWERED) else None
        if registration is None:
            return False
        self._watch.fault("registered_again")
        log.warning("call.registered_again", call=self._key.call_id, seconds=registration.granted_seconds)
        self._registered_for = step
        self._steps = (registration, *self._steps)
        self._tries = 0
        return True

    def _is_to_be_sent_again(self, step: LedgerStep, error: BaseException) -> bool:
        if isinstance(step, Reserve | Extend | Shrink):
            return False
        if isinstance(error, LedgerRejected):
            return error.code in SERVER_FAULTS
        return self._tries < UNHEARD_RELEASE_TRIES or not self._listener.is_refused

    def _keep_settle(self) -> None:
        """Once, also when it waits behind an answer that the ledger does not take."""
        settle = next((step for step in self._steps if isinstance(step, Settle)), None)
        if settle is None or self._kept is not None:
            return
        answer = next((step for step in self._steps if isinstance(step, RecordAnswer)), None)
        registration = self._listener.registration()
        if registration is not None:  # only to be settled: no limit counts it
            registration = replace(registration, curbs=NO_CURBS)
        self._kept = Unsettled(
            self._key,
            settle.step,
            settle.charge_micros,
            settle.seconds,
            included_seconds=settle.included_seconds,
            is_estimate=settle.is_estimate,
            answer=answer,
            registration=registration,
            meta=self._listener.meta(),
        )
        self._queue.put(self._kept)

    def _give_up(self, step: LedgerStep, *, was_rejected: bool) -> None:
        if self._kept is not None and isinstance(step, Settle):
            self._queue.set_aside(self._kept)
        if isinstance(step, Reserve | Extend | Shrink):
            self._listener.unheard(was_rejected=was_rejected)
        else:
            self._listener.given_up(step)

    def _settle_anew(self, step: Settle, code: str) -> None:
        """Another gateway had the call, too, and took a step of its own.

        It may have settled the call. Else its end comes after that step, if the owner of the call says so: a former
        one may be wrong. Who settles writes the record.
        """
        if code == STALE and self._tenure.is_held:
            self._put_at_head(replace(step, step=step.step + 1))  # sent when this answer is done with
            self._tries = 0
            return
        log.warning("call.settled_elsewhere", call=self._key.call_id, seconds=step.seconds, code=code)
        self._pop()
        self._listener.settled_elsewhere()

    def _complain(self, step: LedgerStep, error: BaseException) -> None:
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
