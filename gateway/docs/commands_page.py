"""The reference of commands, made of the command line itself."""

from collections.abc import Iterator
from typing import Any

import typer.main

from gateway.cli import app
from gateway.docs.tables import page, table


def commands_page() -> str:
    """Every command: what it does, its arguments and options."""
    commands = _commands(typer.main.get_command(app), "callgate")
    parts = [part for path, context in commands for part in _shown(path, context)]
    about = (
        "Each command, from the command line itself; `callgate COMMAND --help` says the same. `--config FOLDER` may be "
        "the environment variable `CALLGATE_CONFIG`. Exit codes: 0 done; 1 it could not be done, or a command that "
        "looks for faults found one; 2 mistyped."
    )
    return page("Commands", about, *parts)


def _commands(group: Any, path: str) -> Iterator[tuple[str, Any]]:
    """The context of each command by its whole name: what the list has of it is imported when a context is made.

    They are of a click that typer keeps to itself, so no type of it is named.
    """
    for name, listed in sorted(group.commands.items()):
        context = listed.make_context(f"{path} {name}", [], resilient_parsing=True)
        if hasattr(context.command, "commands"):
            yield from _commands(context.command, f"{path} {name}")
        elif not context.command.hidden:
            yield f"{path} {name}", context


def _shown(path: str, context: Any) -> Iterator[str]:
    command = context.command
    yield f"## {path}"
    yield (command.help or "").split("\f")[0].strip()
    yield f"```text\n{command.get_usage(context).removeprefix('Usage: ')}\n```"
    rows = [_row(parameter, context) for parameter in command.get_params(context) if parameter.name != "help"]
    if rows:
        yield table(("argument or option", "default", "meaning"), rows)


def _row(parameter: Any, context: Any) -> tuple[str, str, str]:
    names = (*parameter.opts, *parameter.secondary_opts)
    if parameter.param_type_name == "argument":
        names = ((parameter.metavar or parameter.name).upper() + ("…" if parameter.nargs == -1 else ""),)
    default = parameter.get_default(context)
    shown = "*required*" if parameter.required else "" if default in (None, False, ()) else f"`{default}`"
    return " ".join(f"`{name}`" for name in names), shown, str(getattr(parameter, "help", "") or "")
