"""The name of a gateway that the config gives none: made once, and kept beside what is this gateway's alone.

It is the same after a restart, so that a gateway has its own switches back at once.
"""

import re
import secrets
import socket
from pathlib import Path
from typing import Final

import structlog

log = structlog.get_logger(__name__)

_FILE: Final = "gateway.name"
_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_MOST_OF_HOST: Final = 50


def kept_name(folder: Path) -> str:
    """The name in the folder; a new one where there is none. It blocks, for a moment, and never raises.

    Where none can be kept, the name holds for this process, and the next one waits until this one's leases have ended.
    """
    file = folder / _FILE
    try:
        if (name := _read(file)) is not None:
            return name
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with file.open("x", encoding="utf-8") as stream:
            stream.write(name := _new())
    except FileExistsError:
        return _read(file) or _new()
    except OSError as error:
        log.warning("gateway.name_not_kept", problem=str(error), remedy="write a name in [gateway] of gateway.toml")
        return _new()
    else:
        return name


def _read(file: Path) -> str | None:
    """None where there is none, or what is there cannot be one. Raises OSError."""
    try:
        name = file.read_text(encoding="utf-8", errors="replace").strip()
    except FileNotFoundError:
        return None
    if _NAME.fullmatch(name):
        return name
    file.unlink()
    return None


def _new() -> str:
    host = re.sub(r"[^A-Za-z0-9._-]", "", socket.gethostname().partition(".")[0])[:_MOST_OF_HOST]
    return f"{host or 'gateway'}-{secrets.token_hex(3)}"
