"""The test bench: one Asterisk, SIPp on both sides, and one measured run of calls: at a steady rate, or of a crowd."""

from __future__ import annotations

import contextlib
import signal
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from tests.lab import process
from tests.lab.asterisk import TEMPLATES, Asterisk
from tests.lab.sipp import Carrier, Phone, SipCall
from tests.load.figures import (
    Counts,
    bucket_quantile,
    cpu_seconds,
    idle_seconds,
    machine_seconds,
    own_seconds,
    quantile,
    since,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.lab.ami_probe import AmiProbe
    from tests.load.gates import Gate

NUMBER = "011442079460000"  # London, by the second
RING_MS = 50
TALK_MS = 1500
PATIENCE_SECONDS = 12.0  # what is not over so long after the last dial has failed
MOST_FAILED_SHARE = 0.005
LONGEST_RESPONSE_MS = 1000.0
CROWD_COMES_SECONDS = 3.0  # not at once: a burst of INVITEs is lost in part, and sent again for seconds
NO_END = 1_000_000  # calls
CALM_CORES = 0.3  # of Asterisk, when the storm of a rate that did not hold is over
CALM_SECONDS = 120.0
LOOK_SECONDS = 0.3

# The phone "plain" goes to the trunk without a gate.
_GATED = "[lab-plain]\nexten => _[0-9+*#].,1,Wait(1)\n"
_OPEN = "[lab-plain]\nexten => _[0-9+*#].,1,Dial(PJSIP/${FILTER(0-9,${EXTEN:3})}@trunk,60,i)\n"


@dataclass(frozen=True)
class Sample:
    """One run. CPU is milliseconds a call, None where nothing of that kind ran."""

    gate: str
    rate_per_second: int
    calls: int
    completed: int  # answered, talked to the end, hung up by the phone
    statuses: dict[int, int]
    response_p50_ms: float  # from INVITE to the first answer after 100
    response_p99_ms: float
    verdict_p50_ms: float | None  # the gateway's own part, from its histogram
    verdict_p99_ms: float | None
    dial_p50_ms: float | None  # from UserEvent to DialBegin, on the PBX's clock
    dial_p99_ms: float | None
    cpu_ms: dict[str, float]
    steps: dict[str, float]  # steps of the ledger a call
    unclosed: int  # answered calls whose record did not come
    others_cores: float  # what the rest of the machine took meanwhile

    @property
    def holds(self) -> bool:
        """Nearly no call failed, and the phones did not wait."""
        failed = max(self.calls - self.completed, self.unclosed)
        return failed <= self.calls * MOST_FAILED_SHARE and self.response_p99_ms <= LONGEST_RESPONSE_MS


@dataclass(frozen=True)
class Crowd:
    """So many phones that each dial again as soon as they have hung up: what the machine can do, and no more."""

    gate: str
    at_once: int
    calls_per_second: float  # answered in the window
    calls: int  # all, those before and after the window too
    completed: int
    unclosed: int
    response_p50_ms: float
    response_p99_ms: float
    idle_cores: float  # in the window: where much is idle, there were too few phones
    cpu_ms: dict[str, float]

    @property
    def failed(self) -> int:
        """Calls that were not whole ones."""
        return max(self.calls - self.completed, self.unclosed)


class Rig:
    """One Asterisk for all runs: `with Rig(root, folder) as rig`."""

    def __init__(self, root: Path, folder: Path) -> None:
        dialplan = (TEMPLATES / "extensions-lab.conf").read_text()
        assert _GATED in dialplan, "the lab's dialplan has another [lab-plain] now"
        # A full log of every step of the dialplan would be measured too.
        self.asterisk = Asterisk(
            root, log_levels="warning,error", files={"extensions-lab.conf": dialplan.replace(_GATED, _OPEN)}
        )
        self.folder = folder

    def __enter__(self) -> Self:
        self.asterisk.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.asterisk.stop()

    def run(self, gate: Gate, rate_per_second: int, seconds: float, *, is_recorded: bool = False) -> Sample:
        """Dial at a steady rate, and measure from the first dial to the last record.

        :param is_recorded: also note each ask and each dial by the PBX's clock, on one more manager session.
        """
        count = round(rate_per_second * seconds)
        asterisk = self.asterisk
        with tempfile.TemporaryDirectory(dir=self.folder) as name, asterisk.no_manager():
            folder = Path(name)
            with _recorder(asterisk, is_recorded) as probe, Carrier(asterisk, folder, ring_ms=RING_MS) as carrier:
                assert carrier.process is not None
                pids = {"asterisk": asterisk.pid, "carrier": carrier.process.pid, **gate.pids()}
                counted, meter = gate.counts(), _Meter(pids)
                calls = _dial(asterisk, gate, folder, rate_per_second, count)
                unclosed = gate.open_after(sum(1 for call in calls if call.status == 200))
                cpu, others_cores = meter.read()
                dials_ms = _dials_ms(probe) if probe is not None else []
                sample = _sample(
                    gate, rate_per_second, count, calls, counted, gate.counts(), cpu, dials_ms, others_cores, unclosed
                )
            self._calm_down()
        self._clear()
        return sample

    def crowd(self, gate: Gate, at_once: int, seconds: float) -> Crowd:
        """Let a crowd of phones dial, and count the answers of some seconds, once all of them are there."""
        asterisk = self.asterisk
        with tempfile.TemporaryDirectory(dir=self.folder) as name, asterisk.no_manager():
            folder = Path(name)
            with Carrier(asterisk, folder, ring_ms=RING_MS) as carrier:
                assert carrier.process is not None
                meter = _Meter({"asterisk": asterisk.pid, "carrier": carrier.process.pid, **gate.pids()})
                calls, window, idle_cores = _dial_on(asterisk, gate, folder, at_once, seconds)
                unclosed = gate.open_after(sum(1 for call in calls if call.status == 200))
                cpu, _ = meter.read()
            self._calm_down()
        self._clear()
        return _crowd(gate.name, at_once, calls, window, idle_cores, cpu, unclosed)

    def _calm_down(self) -> None:
        """Wait until Asterisk answers a manager again: phones and carrier are gone, and it gives up on them."""
        before = cpu_seconds(self.asterisk.pid)
        for _ in range(round(CALM_SECONDS / LOOK_SECONDS)):
            time.sleep(LOOK_SECONDS)
            now = cpu_seconds(self.asterisk.pid)
            if now - before <= CALM_CORES * LOOK_SECONDS:
                break
            before = now

    def _clear(self) -> None:
        """Let no call of this run be left for the next one."""
        self.asterisk.probe.action("Hangup", Channel="/.*/", timeout_seconds=60)
        self._calm_down()
        self.asterisk.wait_idle(60)


class _Meter:
    """CPU between two moments."""

    def __init__(self, pids: dict[str, int]) -> None:
        self._pids = pids
        self._began = time.monotonic()
        self._before = {name: cpu_seconds(pid) for name, pid in pids.items()}
        self._all, self._own = machine_seconds(), own_seconds()

    def read(self) -> tuple[dict[str, float], float]:
        """Seconds of CPU by process, and the cores that other work on the machine took."""
        used = {name: cpu_seconds(pid) - self._before[name] for name, pid in self._pids.items()}
        others = machine_seconds() - self._all - (own_seconds() - self._own) - sum(used.values())
        return used, max(0.0, others / (time.monotonic() - self._began))


@contextlib.contextmanager
def _recorder(asterisk: Asterisk, is_wanted: bool) -> Iterator[AmiProbe | None]:
    """A session that is sent two events a call; what it reads carries the PBX's time, so that it may be slow."""
    if not is_wanted:
        yield None
        return
    with asterisk.connect(events="call,user") as probe:
        for event in ("UserEvent", "DialBegin"):
            reply = probe.action("Filter", Operation="Add", MatchCriteria=f"name({event}),action(include)")
            assert reply.get("Response") == "Success", reply
        yield probe


def _dials_ms(probe: AmiProbe) -> list[float]:
    asked = {each["Uniqueid"]: each.at for each in probe.events("UserEvent")}
    dialled = [(each["Uniqueid"], each.at) for each in probe.events("DialBegin")]
    return [(at - asked[caller]) * 1000 for caller, at in dialled if caller in asked]


def _dial(asterisk: Asterisk, gate: Gate, folder: Path, rate_per_second: int, count: int) -> list[SipCall]:
    with Phone(
        asterisk, folder, [NUMBER], endpoint=gate.endpoint, talk_ms=TALK_MS,
        calls=count, rate_per_second=rate_per_second,
    ) as phone:  # fmt: skip
        try:
            return phone.wait(count / rate_per_second + PATIENCE_SECONDS)
        except AssertionError:  # not all calls came to an end: those that did not are failures, and no fault of ours
            return phone.calls


def _dial_on(
    asterisk: Asterisk, gate: Gate, folder: Path, at_once: int, seconds: float
) -> tuple[list[SipCall], tuple[float, float], float]:
    """The calls, the window by the clock of SIPp's log, and the cores that were idle in it."""
    with Phone(
        asterisk, folder, [NUMBER], endpoint=gate.endpoint, talk_ms=TALK_MS, calls=NO_END,
        rate_per_second=max(1, round(2 * at_once / CROWD_COMES_SECONDS)), most_at_once=at_once,
    ) as phone:  # fmt: skip
        assert phone.process is not None
        time.sleep(CROWD_COMES_SECONDS)
        began, idle = time.time(), idle_seconds()
        time.sleep(seconds)
        ended, idle = time.time(), idle_seconds() - idle
        process.end(phone.process, polite=signal.SIGUSR1, patience_seconds=PATIENCE_SECONDS)  # the calls there are end
        return phone.calls, (began, ended), idle / (ended - began)


def _crowd(
    gate: str, at_once: int, calls: list[SipCall], window: tuple[float, float],
    idle_cores: float, cpu: dict[str, float], unclosed: int,
) -> Crowd:  # fmt: skip
    began, ended = window
    answered = sum(1 for call in calls if call.answered_at is not None and began <= call.answered_at < ended)
    responses = [_response_ms(call) for call in calls if began <= call.invite.at < ended] or [float("inf")]
    return Crowd(
        gate=gate,
        at_once=at_once,
        calls_per_second=answered / (ended - began),
        calls=len(calls),
        completed=sum(map(_is_completed, calls)),
        unclosed=unclosed,
        response_p50_ms=quantile(responses, 0.5),
        response_p99_ms=quantile(responses, 0.99),
        idle_cores=idle_cores,
        cpu_ms={name: 1000 * used / max(1, len(calls)) for name, used in cpu.items()},
    )


def _is_completed(call: SipCall) -> bool:
    return call.status == 200 and call.bye is not None and call.bye.sent


def _response_ms(call: SipCall) -> float:
    """How long the phone heard nothing but "trying"; without end where nothing came."""
    answers = (each.at for each in call.messages if each.status is not None and each.status > 100)
    return (next(answers, float("inf")) - call.invite.at) * 1000


def _sample(
    gate: Gate, rate_per_second: int, count: int, calls: list[SipCall],
    before: Counts, after: Counts, cpu: dict[str, float], dials_ms: list[float], others_cores: float, unclosed: int,
) -> Sample:  # fmt: skip
    responses = [_response_ms(call) for call in calls] + [float("inf")] * (count - len(calls))
    verdicts = since(after.verdicts, before.verdicts)
    own_part = {share: bucket_quantile(verdicts, share) for share in (0.5, 0.99)}
    statuses: dict[int, int] = {}
    for call in calls:
        statuses[call.status or 0] = statuses.get(call.status or 0, 0) + 1
    return Sample(
        gate=gate.name,
        rate_per_second=rate_per_second,
        calls=count,
        completed=sum(map(_is_completed, calls)),
        statuses=statuses,
        response_p50_ms=quantile(responses, 0.5),
        response_p99_ms=quantile(responses, 0.99),
        verdict_p50_ms=_ms(own_part[0.5]),
        verdict_p99_ms=_ms(own_part[0.99]),
        dial_p50_ms=quantile(dials_ms, 0.5) if dials_ms else None,
        dial_p99_ms=quantile(dials_ms, 0.99) if dials_ms else None,
        cpu_ms={name: 1000 * used / count for name, used in cpu.items()},
        steps={name: (value - before.steps[name]) / count for name, value in after.steps.items()},
        others_cores=others_cores,
        unclosed=unclosed,
    )


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else seconds * 1000
