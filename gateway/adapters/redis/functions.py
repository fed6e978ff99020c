"""The functions of the ledger: their source, and how a server comes to have them."""

from importlib import resources
from typing import Final

from redis.exceptions import NoPermissionError, ResponseError

from gateway.adapters.redis.pipe import Line
from gateway.ports import LedgerRejected, LedgerUnavailable

LIBRARY: Final = "callgate_2"
_PARTS: Final = (
    "words",
    "books",
    "lots",
    "limits",
    "offers",
    "calls",
    "steps",
    "account",
    "forecast",
    "recharge",
    "outbox",
    "mail",
    "leases",
    "register",
)

_NO_FUNCTIONS: Final = (
    "This server has no functions, or this user may not use them; callgate needs Redis 7.0, Valkey 7.2 or "
    "newer, and a user who may run FUNCTION and FCALL"
)


def library_code() -> str:
    """Return the Lua source of the function library."""
    folder = resources.files("gateway.adapters.redis").joinpath("lua")
    return "\n".join(folder.joinpath(f"{part}.lua").read_text("utf-8") for part in _PARTS)


async def load_functions(line: Line) -> None:
    """Give one server the functions, or see that it has them."""
    code = library_code()
    try:
        await line.call("FUNCTION", "LOAD", code)
    except ResponseError as error:
        if "already exists" in str(error):
            await _compare_functions(line, code)
        elif isinstance(error, NoPermissionError) or "unknown command" in str(error).lower():
            raise LedgerRejected("no_functions", f"{_NO_FUNCTIONS} (it said: {error}).") from error
        else:
            raise complaint(error) from error


async def _compare_functions(line: Line, code: str) -> None:
    try:
        libraries = await line.call("FUNCTION", "LIST", "LIBRARYNAME", LIBRARY, "WITHCODE")
    except ResponseError as error:
        raise complaint(error) from error
    stored = dict(zip(libraries[0][::2], libraries[0][1::2], strict=True)) if libraries else {}
    if stored.get(b"library_code") != code.encode():
        raise LedgerRejected(
            "version",
            f"The server's library {LIBRARY} is not this gateway's; run the same release everywhere, "
            f"or, with no gateway running, FUNCTION DELETE {LIBRARY} and start again.",
        )


def complaint(error: ResponseError) -> LedgerUnavailable:
    """Take an error reply that no state explains for a fault of the server: nothing is granted on it."""
    return LedgerUnavailable(f"The ledger's server could not run the step: {error}")
