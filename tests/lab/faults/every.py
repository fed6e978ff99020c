"""Every fault of the table, in its order."""

from __future__ import annotations

from tests.lab.faults.faults import FAULTS, Fault
from tests.lab.faults.machines import FAULTS_OF_MACHINES
from tests.lab.faults.wires import FAULTS_OF_WIRES

EVERY_FAULT: tuple[Fault, ...] = (*FAULTS, *FAULTS_OF_WIRES, *FAULTS_OF_MACHINES)
