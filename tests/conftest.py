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
    """Skip what the server cannot do: of those that callgate takes, only Redis 7.0 is older than WAITAOF."""
    if not any(item.get_closest_marker(name) for item in items for name in ("waitaof", "whole_steps")):
        return
    server = told([server_program()])
    lacking = {"waitaof": " v=7.0." in server, "whole_steps": not server.startswith("Valkey")}
    for name in (name for name, is_lacking in lacking.items() if is_lacking):
        reason = "the server has no WAITAOF" if name == "waitaof" else "the server cuts its file within a step"
        for item in items:
            if item.get_closest_marker(name):
                item.add_marker(pytest.mark.skip(reason=reason))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say on what it ran."""
    try:
        server = told([server_program()])
    except EmbeddedServerError:
        server = "no server"
    terminalreporter.write_line(f"on: Python {platform.python_version()}; {server}")
