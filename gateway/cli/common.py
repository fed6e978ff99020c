"""What all commands have in common: their options, and how a failure is told."""

import asyncio
import shlex
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import typer

from gateway.adapters.redis.embedded import EmbeddedServerError
from gateway.core.tenant import Tenant
from gateway.ports import LedgerRejected, LedgerUnavailable
from gateway.service.desk_error import DeskError
from gateway.settings import ConfigErrors, Settings, load
from rating import AmountError

T = TypeVar("T")


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
FAILURES = (LedgerRejected, EmbeddedServerError, AmountError, DeskError)


class InDoubtError(Exception):
    """A top-up was sent and not answered; the sentence says how to finish it without booking it twice."""


def run(errand: Coroutine[Any, Any, T], *, about: str = "") -> T:
    """Run it to its end; a failure that people can meet is one sentence, ``about`` what, and exit code 1."""
    try:
        return _loop_runner()(errand)
    except LedgerUnavailable as error:  # whatever it was, no money was sent: that would be in doubt
        fail(f"{about}{_out_of_reach(error)}")
    except OSError as error:
        fail(f"{about}{_file_fault(error)}")
    except (*FAILURES, InDoubtError) as error:
        fail(f"{about}{error}")
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def _loop_runner() -> Callable[[Coroutine[Any, Any, T]], T]:
    """Of uvloop, where it is: callgate needs it wherever there is one. Else the event loop of Python itself."""
    try:
        import uvloop  # noqa: PLC0415 - it may not be there
    except ImportError:
        return asyncio.run
    return uvloop.run


def _file_fault(error: OSError) -> str:
    """``Is a directory: /tmp`` where a file or a folder is meant, without the number that only the kernel needs."""
    return f"{error.strerror}: {error.filename}" if error.filename and error.strerror else str(error)


def _out_of_reach(error: LedgerUnavailable) -> str:
    why = str(error).partition(" The step may")[0].rstrip(".")
    return f"{why}; start it, or mend redis.url in gateway.toml."


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
