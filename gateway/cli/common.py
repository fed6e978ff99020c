"""What all commands have in common: their options, the config, and how a failure is told."""

import shlex
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from gateway.core.tenant import Tenant
from gateway.settings import ConfigErrors, Settings, load


def config_folder(config: Path) -> Path:
    """The folder that was named; a file is told at once."""
    if config.is_file():
        fail(f"{config} is a file; name the folder that holds it: --config {shlex.quote(str(config.parent))}")
    return config


ConfigDir = Annotated[
    Path,
    typer.Option(
        "--config", "-c", envvar="CALLGATE_CONFIG", callback=config_folder, help="The folder that holds gateway.toml."
    ),
]
OfTenants = Annotated[list[str] | None, typer.Argument(help="All of them where none is named.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
CONFIG = Path("config")


def load_settings(config: Path) -> Settings:
    """The config, or all that is wrong with it and exit code 1."""
    try:
        return load(config)
    except ConfigErrors as errors:
        told = "\n".join(str(problem) for problem in errors.problems if not problem.is_warning)
        fail(f"{told}\nNothing was done. `callgate check` says it again.")


def tenant_named(settings: Settings, name: str) -> Tenant:
    """The tenant of that name, or which there are and exit code 1."""
    owner = settings.tenants.get(name)
    if owner is None:
        known = ", ".join(sorted(settings.tenants)) or "none"
        fail(f"There is no tenant {name!r}; the config has: {known}.")
    return owner


def journal_folder(settings: Settings, named: Path | None) -> Path:
    """The archive's folder; one that was named must be there, or exit code 1."""
    if named is not None and not named.is_dir():
        fail(f"{named} is no folder; name the one that has a folder of .jsonl files for each tenant.")
    return named or settings.journal.folder


def fail(sentence: str) -> NoReturn:
    """End with one sentence on standard error and exit code 1."""
    print(f"callgate: {sentence}", file=sys.stderr)
    raise typer.Exit(1)
