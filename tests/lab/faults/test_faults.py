"""Each fault against six calls in six phases: calls, money and times are as the table says, and the books hold.

A sample is played always, the others by `make faults`, which prints the table, and with the long tests.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.asterisk import Asterisk
from tests.lab.faults.every import EVERY_FAULT
from tests.lab.faults.faults import Fault
from tests.lab.faults.play import play

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def running_asterisk(lab_root: Path) -> Iterator[Asterisk]:
    """One that does not write down each step of the dialplan."""
    with Asterisk(lab_root, log_levels="warning,error") as asterisk:
        yield asterisk


def marked(fault: Fault) -> object:
    """A test's parameter; what is not in the sample is long."""
    return pytest.param(fault, id=fault.name, marks=() if fault.is_in_ci else (pytest.mark.full,))


def needs_its_own(fault: Fault) -> bool:
    """No other scene is played on its Asterisk."""
    return fault.kills_asterisk or fault.has_own_asterisk


@pytest.mark.parametrize("fault", [marked(each) for each in EVERY_FAULT if not needs_its_own(each)])
def test_a_fault_does_what_the_table_says(asterisk: Asterisk, tmp_path: Path, fault: Fault) -> None:
    """Six calls in six phases."""
    play(fault, asterisk, tmp_path)


@pytest.mark.parametrize("fault", [marked(each) for each in EVERY_FAULT if needs_its_own(each)])
def test_a_fault_of_asterisk_itself(lab_root: Path, tmp_path: Path, fault: Fault) -> None:
    """On one of its own."""
    with fault.asterisk(lab_root) as asterisk:
        play(fault, asterisk, tmp_path)
