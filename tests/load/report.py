"""What the benchmark says: the machine, a line for each run, the table at the end."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.load.calibrate import PAUSE_SECONDS, wake_up
from tests.load.figures import Spread, spread
from tests.load.gates import EXTEND_LEAD_MS, QUANTUM_SECONDS, Callgate, Floor, Gate
from tests.load.rig import RING_MS, TALK_MS, Sample

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.lab.asterisk import Asterisk
    from tests.load.bench import Result


def facts(asterisk: Asterisk) -> dict[str, str]:
    """Machine, versions and what a call is like. There is nothing random in it but Asterisk's own nonces and ports."""
    cpu = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    cold = wake_up()
    sipp = subprocess.run(["sipp", "-v"], capture_output=True, text=True, check=False).stdout
    return {
        "machine": f"{os.cpu_count()} cores, {cpu[1] if cpu else platform.machine()}",
        "kernel": platform.release(),
        "asterisk": asterisk.version(),
        "sipp": next(iter(re.findall(r"SIPp (v[\d.]+)", sipp)), "unknown"),
        "python": f"{platform.python_version()}{'' if _is_optimized() else ' (built without --enable-optimizations)'}",
        "packages": ", ".join(f"{name} {version(name)}" for name in ("callgate", "uvloop", "redis", "hiredis")),
        "call": f"rings {RING_MS} ms, talks {TALK_MS} ms, metered by the second in quanta of {QUANTUM_SECONDS} s, "
        f"extended {EXTEND_LEAD_MS} ms before the end",
        "wake-up": f"the same work costs {cold.at_once_us:.0f} us of CPU at once, "
        f"{cold.after_sleep_us:.0f} us after {1000 * PAUSE_SECONDS:.0f} ms of sleep",
        "load_before": f"{os.getloadavg()[0]:.1f}",
    }


def _is_optimized() -> bool:
    """An interpreter without profile-guided optimization is slower by a third or so: it has to be said."""
    import sysconfig  # noqa: PLC0415 - used here only

    return "--enable-optimizations" in (sysconfig.get_config_var("CONFIG_ARGS") or "")


def line(sample: Sample) -> str:
    """One run in one line."""
    parts = [
        f"{sample.gate} at {sample.rate_per_second}/s: {sample.completed} of {sample.calls} calls",
        f"phone p99 {sample.response_p99_ms:.0f} ms",
    ]
    if sample.verdict_p99_ms is not None:
        parts.append(f"verdict p50/p99 {sample.verdict_p50_ms:.2f}/{sample.verdict_p99_ms:.2f} ms")
    if sample.dial_p99_ms is not None:
        parts.append(f"ask to dial {sample.dial_p50_ms:.2f}/{sample.dial_p99_ms:.2f} ms")
    used = ", ".join(f"{name} {value:.2f}" for name, value in sample.cpu_ms.items())
    return "; ".join([*parts, f"CPU ms a call: {used}", f"others {sample.others_cores:.2f} cores"])


def _spread(samples: list[Sample], pick: Callable[[Sample], float | None]) -> Spread | None:
    return spread(map(pick, samples))


def summary(result: Result) -> dict[str, Any]:
    """The figures by gate and rate, over the runs; and what holds."""
    found: dict[str, Any] = {}
    for rate in result.plan.rates:
        for gate in (Floor.name, Callgate.name):
            samples = [each for each in result.runs if (each.gate, each.rate_per_second) == (gate, rate)]
            found[f"{gate} at {rate}/s"] = {
                name: asdict(figure) for name, figure in _figures(samples).items() if figure is not None
            }
    found["holds"] = {gate: asdict(figure) for gate, held in result.holds.items() if (figure := spread(held))}
    found["ratios"] = {
        "callgate / bare hook": result.ratio(Callgate.name, Floor.name),
        "callgate / none": result.ratio(Callgate.name, Gate.name),
        "bare hook / none": result.ratio(Floor.name, Gate.name),
    }
    return found


def _figures(samples: list[Sample]) -> dict[str, Spread | None]:
    picks: dict[str, Callable[[Sample], float | None]] = {
        "own part of the verdict, p50 ms": lambda each: each.verdict_p50_ms,
        "own part of the verdict, p99 ms": lambda each: each.verdict_p99_ms,
        "ask to dial on the PBX, p50 ms": lambda each: each.dial_p50_ms,
        "ask to dial on the PBX, p99 ms": lambda each: each.dial_p99_ms,
        "response at the phone, p99 ms": lambda each: each.response_p99_ms,
        "calls that failed": lambda each: each.calls - each.completed,
        "answered calls left open": lambda each: each.unclosed,
        "work of others, cores": lambda each: each.others_cores,
    }
    figures = {name: _spread(samples, pick) for name, pick in picks.items()}
    for process in ("gateway", "ledger", "hook", "asterisk"):
        figures[f"CPU of {process}, ms a call"] = spread(each.cpu_ms.get(process) for each in samples)
    return figures


def table(result: Result) -> str:
    """A short table for people."""
    lines = ["", *(f"{name:12} {text}" for name, text in result.facts.items()), ""]
    for rate in result.plan.rates:
        plan = result.plan
        lines.append(f"{rate} calls/s, {plan.runs} runs of {plan.run_seconds:g} s: least / median / most")
        columns = {
            gate: _figures([each for each in result.runs if (each.gate, each.rate_per_second) == (gate, rate)])
            for gate in (Floor.name, Callgate.name)
        }
        lines.append(f"  {'':34}{Floor.name:>26}{Callgate.name:>26}")
        for name in columns[Floor.name]:
            cells = [_cell(columns[gate][name]) for gate in columns]
            lines.append(f"  {name:34}" + "".join(f"{cell:>26}" for cell in cells))
        lines.append("")
    lines.append(f"calls/s that hold, {result.plan.sweeps} sweeps in steps of 25, {result.plan.sweep_seconds:g} s each")
    for gate, held in result.holds.items():
        lines.append(f"  {gate:34}{' '.join(map(str, held)):>26}")
    for name, ratio in summary(result)["ratios"].items():
        lines.append(f"  {name:34}{'-' if ratio is None else format(ratio, '.2f'):>26}")
    return "\n".join(lines)


def _cell(figure: Spread | None) -> str:
    return "-" if figure is None else f"{figure.least:.2f} / {figure.median:.2f} / {figure.most:.2f}"
