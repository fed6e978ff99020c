"""``callgate reload`` and ``callgate diff``: they ask the gateway that runs, on its control socket.

The gateway reads the config itself, with its own environment and rights: what it says is what holds. A pid file and a
signal would tell nothing back, and a pid may be another process's by now.
"""

import json
import sys
from pathlib import Path
from typing import Any

import typer

from gateway.cli.common import CONFIG, AsJson, ConfigDir, fail
from gateway.cli.errand import run
from gateway.settings import ConfigErrors, control_socket
from gateway.settings.changes import Change


def reload(config: ConfigDir = CONFIG, as_json: AsJson = False) -> None:
    """Have the gateway that runs take the config, whole. Exit code 1, and nothing changes, when it cannot be used."""
    outcome, kept = _ask(config, "reload"), "The gateway keeps the config that it has."
    each = outcome.get("processes", [])
    if not as_json:
        for one in each:
            told = f"{one['changes']} changes in force" if one["is_taken"] else "keeps the config that it has"
            print(f"process {one['process']}: {told}", file=sys.stdout if outcome["is_taken"] else sys.stderr)
    if any(one["is_taken"] for one in each):
        kept = "The processes have different configs now: mend what is said above, and reload again."
    _tell(outcome, as_json, "The config is in force", kept)


def diff(config: ConfigDir = CONFIG, as_json: AsJson = False) -> None:
    """Show what a reload would change, in values that are in force. Nothing is changed by this."""
    _tell(_ask(config, "diff"), as_json, "A reload would do this", "A reload would change nothing.")


def _ask(config: Path, word: str) -> dict[str, Any]:
    from gateway.adapters.http.control import ControlError, ask_gateway  # noqa: PLC0415 - only these pay for it

    try:
        return run(ask_gateway(control_socket(config), word))
    except ConfigErrors as errors:
        fail(f"{errors}\nThe gateway was not asked.")
    except ControlError as error:
        fail(str(error))


def _tell(outcome: dict[str, Any], as_json: bool, done: str, kept: str) -> None:
    if as_json:
        print(json.dumps(outcome))
    else:
        _print(outcome, done, kept)
    if not outcome["is_taken"]:
        raise typer.Exit(1)


def _print(outcome: dict[str, Any], done: str, kept: str) -> None:
    for problem in outcome["problems"]:
        print(problem, file=sys.stderr)
    if not outcome["is_taken"]:
        print(kept, file=sys.stderr)
        return
    for warning in outcome["warnings"]:
        print(warning)
    changes = [Change(**change) for change in outcome["changes"]]
    for change in changes:
        print(change)
    print(f"{done}: {len(changes)} change{'' if len(changes) == 1 else 's'}." if changes else f"{done}: no change.")
    if outcome["needs_restart"]:
        print(f"Restart callgate (calls go on) for: {', '.join(outcome['needs_restart'])}.")
