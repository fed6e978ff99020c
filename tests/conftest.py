"""What holds for all tests."""

import platform

import pytest
from hypothesis import HealthCheck, settings

from gateway.adapters.redis.embedded import EmbeddedServerError, server_program
from tests.server import told, use_other_server

# A busy machine is no fault of the code: nothing is judged by how long it took, examples neither.
settings.register_profile("callgate", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("callgate")


def pytest_configure(config: pytest.Config) -> None:
    """Put another server under the tests, where the environment names one."""
    try:
        folder = use_other_server()
    except ValueError as problem:
        raise pytest.UsageError(str(problem)) from problem
    if folder is not None:
        config.add_cleanup(folder.cleanup)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what a server of before WAITAOF cannot do; the only one of those that callgate takes is Redis 7.0."""
    if not any(item.get_closest_marker("waitaof") for item in items) or " v=7.0." not in told([server_program()]):
        return
    for item in items:
        if item.get_closest_marker("waitaof"):
            item.add_marker(pytest.mark.skip(reason="the server has no WAITAOF"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say on what it ran."""
    try:
        server = told([server_program()])
    except EmbeddedServerError:
        server = "no server"
    terminalreporter.write_line(f"on: Python {platform.python_version()}; {server}")
