"""What a command imports before it does anything: a person waits for each module, so they are counted."""

import subprocess
import sys
from inspect import cleandoc
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from gateway.cli import app
from gateway.cli.panels import PANELS

ROOT = Path(__file__).parents[3]
TELL = (
    "import atexit, sys; atexit.register(lambda: print('modules', *sys.modules)); from gateway.cli import main; main()"
)
COMMANDS = [(name, line) for panel in PANELS.values() for name, (_, line) in panel.items()]


def imported_by(*words: str) -> set[str]:
    """Every module of a command that was run to its end."""
    done = subprocess.run(
        [sys.executable, "-c", TELL, *words], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    return set(done.stdout.splitlines()[-1].split())


def own(modules: set[str]) -> set[str]:
    return {name for name in modules if name.partition(".")[0] in {"gateway", "rating"}}


@pytest.fixture(scope="module")
def group() -> Any:
    return get_command(app)


def test_the_list_of_commands_imports_none_of_them() -> None:
    """Neither the project's other modules nor a library but the one that prints it."""
    modules = imported_by("--help")
    assert own(modules) == {"gateway", "gateway.cli", "gateway.cli.panels"}
    assert not modules & {"asyncio", "pydantic", "phonenumbers", "redis", "structlog"}


@pytest.mark.parametrize(
    "words",
    [
        ("check", "--config", "config"),
        ("schema", "tenant"),
        ("quote", "011442079460000", "--tenant", "acme", "--seconds", "85", "--config", "config"),
        ("rates", "--tenant", "acme", "--config", "config"),
    ],
    ids=lambda words: words[0],
)
def test_what_asks_no_books_imports_no_client_of_theirs(words: tuple[str, ...]) -> None:
    """Nor an event loop."""
    modules = imported_by(*words)
    assert "gateway.cli.common" in modules
    assert not modules & {"asyncio", "redis", "structlog", "uvloop", "aiohttp"}


def test_no_command_imports_the_gateway_to_be_told_of() -> None:
    """HTTP, metrics and AMI are those of serve when it runs, and of what asks a running gateway."""
    names = [name for name, _ in COMMANDS if name != "demo"]
    program = (
        "import sys; from gateway.cli import app; from typer.main import get_command; group = get_command(app);"
        f"[group.commands[name].make_context(name, [], resilient_parsing=True) for name in {names}];"
        "print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    modules = set(done.stdout.split())
    assert {"gateway.cli.serve", "gateway.cli.money"} <= modules
    assert not modules & {"aiohttp", "panoramisk", "prometheus_client"}


@pytest.mark.parametrize(("name", "line"), COMMANDS, ids=[name for name, _ in COMMANDS])
def test_the_list_says_of_a_command_what_it_says_of_itself(group: Any, name: str, line: str) -> None:
    """The first paragraph of its own help, by its own name."""
    command = group.commands[name].make_context(name, [], resilient_parsing=True).command
    assert cleandoc(command.help).split("\n\n")[0].replace("\n", " ") == line
