"""Plays one fault from an empty stage to clean books."""

from __future__ import annotations

from pathlib import Path

from tests.lab.asterisk import Asterisk
from tests.lab.faults.faults import Fault
from tests.lab.faults.judge import Judge, Missed, Seen
from tests.lab.faults.outcomes import Phase
from tests.lab.faults.scene import Scene
from tests.lab.faults.stage import Stage

TRIES = 3


def play(fault: Fault, asterisk: Asterisk, folder: Path) -> list[Seen]:
    """What became of the six calls, printed too. A scene that missed a phase shows nothing: it is played again.

    :raises AssertionError: with all in which it differs from what the table says.
    :raises Missed: when no try met all six.
    """
    for trial in range(1, TRIES):
        try:
            return _play(fault, asterisk, folder / f"try-{trial}")
        except Missed as missed:
            print(f"{fault.name}, again: {missed}")
    return _play(fault, asterisk, folder / f"try-{TRIES}")


def _play(fault: Fault, asterisk: Asterisk, folder: Path) -> list[Seen]:
    failure = f"[failure]\n{fault.policy}" if fault.policy else ""
    stage = Stage(asterisk, folder, fault.gateways, quantum_seconds=fault.quantum_seconds, failure=failure)
    scene = Scene(fault, stage)
    try:
        fault.prepare(stage)
        stage.start()
        scene.play()
        judge = Judge(scene)
        print(f"\n{fault.name}: {fault.title}; back after {scene.back_at - scene.began_at:.1f} s")
        judge.check_phases()
        cells = [judge.seen(phase) for phase in Phase]
        for seen in cells:
            print(f"  {seen.phase}: {seen}")
        problems = [problem for seen in cells for problem in judge.problems(seen)]
        assert not problems, "\n".join(problems)
        judge.check_books(cells)
    finally:
        fault.clean(stage)
        stage.close()
    return cells
