"""The command line: what an admin types. It prints for people, or JSON with ``--json``; errors go to standard error.

Exit codes: 0 done, 1 the thing asked for could not be done (one sentence says why), 2 the command was mistyped. Of
``doctor``, 1 is a warning and 2 an error.

A person waits for each import. So a command's module is imported when that command is wanted, and no other's: at its
top it imports what all of its commands need, and within a function what only some do.
"""

from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from gateway.cli.panels import PANELS


class _Later(TyperCommand):
    """A command, or a group of some, whose module is imported when it is run or asked for its own help."""

    def __init__(self, name: str, panel: str, where: str, line: str) -> None:
        super().__init__(name, help=line, rich_help_panel=panel)
        self._where = where

    def make_context(self, *words: Any, **more: Any) -> Any:
        """The context of the command itself. Its types are of a click that typer keeps to itself: none is named."""
        return self._imported().make_context(*words, **more)

    def _imported(self) -> Any:
        module, _, name = self._where.partition(":")
        found = getattr(import_module(f"{__name__}.{module}"), name)
        if isinstance(found, typer.Typer):
            return get_command(found)
        alone = typer.Typer(add_completion=False)
        alone.command(self.name)(found)
        return get_command(alone)


class _Commands(TyperGroup):
    """All of them."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        for panel, commands in PANELS.items():
            for name, (where, line) in commands.items():
                self.add_command(_Later(name, panel, where, line))


app = typer.Typer(
    name="callgate",
    cls=_Commands,
    help="Prepaid call authorization for Asterisk: money is held before the ring.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def _version(is_asked: bool) -> None:
    if is_asked:
        from importlib import metadata  # noqa: PLC0415 - nobody else waits for it

        print(f"callgate {metadata.version('callgate')}")
        raise typer.Exit


def main() -> None:
    """Run the command line."""
    app()


@app.callback()
def about_all(
    _version_asked: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Prepaid call authorization for Asterisk: money is held before the ring."""
