"""Fixtures of the lab: the built folder, a running Asterisk, SIPp as phone and as carrier.

`CALLGATE_LAB`: `auto` (default) skips with the reason where the lab cannot be had, `required` fails instead,
`off` skips.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, TypeAlias

import pytest

from tests.lab.ami_probe import BareHook, Decide
from tests.lab.asterisk import Asterisk
from tests.lab.build import asterisk_version, find_root, missing
from tests.lab.sipp import Carrier, Phone

if TYPE_CHECKING:
    from pathlib import Path

MakePhone: TypeAlias = Callable[..., Phone]
MakeCarrier: TypeAlias = Callable[..., Carrier]
MakeHook: TypeAlias = Callable[[Decide], BareHook]

_RAN = pytest.StashKey[str]()
# Settings of callgate-local.conf that a test may have changed.
_GLOBALS = {
    "CALLGATE_WAIT": "3",
    "CALLGATE_ON_SILENCE": "refuse",
    "CALLGATE_SILENCE_CAP_MS": "300000",
    "CALLGATE_PROMPT_no_credit": "",
    "CALLGATE_PROMPT_SECONDS": "10",
    "CALLGATE_PROMPTS_MOST": "20",
    "CALLGATE_WARNING": "no",
}


@pytest.fixture(scope="session")
def lab_root(request: pytest.FixtureRequest) -> Path:
    """The built folder; without it the test is skipped, or fails where the lab is required."""
    mode = os.environ.get("CALLGATE_LAB", "auto")
    problem = "the lab is switched off (CALLGATE_LAB=off)" if mode == "off" else missing()
    root = find_root()
    if problem is None and root is not None:
        request.config.stash[_RAN] = asterisk_version(root)
        return root
    if mode == "required":
        pytest.fail(f"the lab is required (CALLGATE_LAB=required) but {problem}", pytrace=False)
    pytest.skip(f"{problem}")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say what ran."""
    if _RAN in config.stash:
        terminalreporter.write_line(f"lab: {config.stash[_RAN]}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the end of Asterisk's log with a failed test."""
    report = yield
    running = getattr(item, "funcargs", {}).get("running_asterisk")
    if report.failed and isinstance(running, Asterisk):
        report.sections.append(("asterisk log", running.logs()))
    return report


@pytest.fixture(scope="module")
def running_asterisk(lab_root: Path) -> Iterator[Asterisk]:
    """One Asterisk for all tests of a module."""
    with Asterisk(lab_root) as asterisk:
        yield asterisk


@pytest.fixture
def asterisk(running_asterisk: Asterisk) -> Iterator[Asterisk]:
    """The module's Asterisk with the shipped settings; the test must leave no call behind."""
    for name, value in _GLOBALS.items():
        running_asterisk.set_global(name, value)
    yield running_asterisk
    running_asterisk.probe.action("Hangup", Channel="/.*/")
    running_asterisk.wait_idle()


@pytest.fixture
def _helpers(asterisk: Asterisk) -> Iterator[ExitStack]:
    """What the test started ends before the PBX is looked at again."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def carrier(asterisk: Asterisk, _helpers: ExitStack, tmp_path: Path) -> MakeCarrier:
    """Start the carrier: see `Carrier`."""

    def make(**options: object) -> Carrier:
        return _helpers.enter_context(Carrier(asterisk, tmp_path, **options))  # type: ignore[arg-type]

    return make


@pytest.fixture
def phone(asterisk: Asterisk, _helpers: ExitStack, tmp_path: Path) -> MakePhone:
    """Start a phone that dials: see `Phone`."""

    def make(*numbers: str, **options: object) -> Phone:
        return _helpers.enter_context(Phone(asterisk, tmp_path, numbers, **options))  # type: ignore[arg-type]

    return make


@pytest.fixture
def hook(asterisk: Asterisk, _helpers: ExitStack) -> MakeHook:
    """Connect the bare hook as the service user."""

    def make(decide: Decide) -> BareHook:
        return _helpers.enter_context(BareHook(asterisk.ami_port, asterisk.secret, decide))

    return make
