"""The event loop that commands, and the gateway, run on."""

import asyncio
import sys

import pytest

from gateway.cli.errand import run


async def _kind_of_loop() -> str:
    return type(asyncio.get_running_loop()).__module__.partition(".")[0]


def test_it_is_uvloops_where_that_is_and_pythons_own_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """On Linux it is installed with callgate."""
    assert run(_kind_of_loop()) == "uvloop"
    monkeypatch.setitem(sys.modules, "uvloop", None)
    assert run(_kind_of_loop()) == "asyncio"
