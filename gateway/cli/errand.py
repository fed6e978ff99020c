"""An errand to the books or to a gateway: how a command runs it, and how a failure of it is told."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import typer

from gateway.adapters.redis.embedded_error import EmbeddedServerError
from gateway.cli.common import fail
from gateway.ports import LedgerRejected, LedgerUnavailable
from gateway.service.desk_error import DeskError
from rating import AmountError

T = TypeVar("T")

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
