"""What became of the test ask: a Local channel that rings nobody went through the gate."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from gateway.core.doctor.report import Finding, error, short, warning

# Of what a whole call makes, these alone pass the shipped filters.
WANTED_EVENTS: Final = frozenset(
    {
        "FullyBooted", "Shutdown", "UserEvent", "DialBegin", "DialEnd", "Newstate", "Hangup",
        "AttendedTransfer", "LocalOptimizationEnd", "ParkedCall", "Pickup", "UnParkedCall",
    }
)  # fmt: skip


class Answer(StrEnum):
    """Who answered."""

    GATEWAY = "gateway"
    DOCTOR = "doctor"  # the gateway did not, so the doctor did, as the gateway's user
    NOBODY = "nobody"  # the dialplan took no answer
    NOT_ASKED = "not_asked"  # the channel ended, and no ask was heard
    NOT_MADE = "not_made"  # Asterisk did not make the channel


@dataclass(frozen=True, slots=True)
class Trial:
    """One test ask. ``answer_ms``: from the ask to the end of the channel."""

    answer: Answer
    why: str = ""  # Asterisk's word, where it made no channel
    answer_ms: int = 0
    events: frozenset[str] = frozenset()  # that the gateway's user was sent
    has_times: bool = True  # they carried the PBX's time


def check_trial(trial: Trial, where: str) -> Iterator[Finding]:
    """What that says."""
    asked = f"{where}: callgate,authorize"
    if trial.answer is Answer.NOT_MADE:
        yield error(
            "hook",
            f"Asterisk made no channel for a test ask ({short(trial.why, 120)})",
            asked,
            "give the doctor's user write = originate, as manager-callgate-doctor.conf does, and run manager reload",
        )
        return
    if trial.answer is Answer.NOT_ASKED:
        yield error(
            "hook",
            "a test ask went into the gate and none came out: the dialplan cannot ask, or its event is filtered away",
            asked,
            "load app_userevent, app_stack, func_cut, func_dialplan, func_logic, func_rand and func_strings; "
            "see the filters of manager-callgate.conf; look at Asterisk's log",
        )
    elif trial.answer is Answer.NOBODY:
        yield error(
            "hook",
            "the dialplan asked, and took no answer: the digit D or the variable does not reach it",
            asked,
            "load app_senddtmf; copy extensions-callgate.conf of this release; raise CALLGATE_WAIT",
        )
    elif trial.answer is Answer.DOCTOR:
        yield error(
            "gateway-silent",
            "the dialplan asked, and no gateway answered: each call is refused, or goes on as CALLGATE_ON_SILENCE says",
            asked,
            "start callgate serve with this config; if it runs, its log tells why it does not hear this switch",
        )
    if not trial.has_times:
        yield error(
            "timestampevents",
            "events carry no time of the PBX, by which calls are charged",
            where,
            "add timestampevents = yes to [general] of manager.conf, and run manager reload",
        )
    beyond = sorted(trial.events - WANTED_EVENTS)
    if beyond:
        yield warning(
            "filter-missing",
            f"the gateway's user was sent {', '.join(beyond[:6])}: its event filters are not in force",
            where,
            "copy manager-callgate.conf as it is shipped (for older releases its second form), and run manager reload",
        )
