"""Where Debian's Prometheus cannot be had, its tests are skipped, or fail where the lab is required."""

from __future__ import annotations

import os

import pytest

from tests.lab.build import LabUnavailable
from tests.noc.servers import program


@pytest.fixture(scope="session")
def prometheus() -> None:
    """Prometheus, Alertmanager and their tools are there."""
    mode = os.environ.get("CALLGATE_LAB", "auto")
    if mode == "off":
        pytest.skip("the lab is switched off (CALLGATE_LAB=off)")
    try:
        program("promtool")
    except LabUnavailable as problem:
        if mode == "required":
            pytest.fail(f"the lab is required (CALLGATE_LAB=required) but {problem}", pytrace=False)
        pytest.skip(f"{problem}")
