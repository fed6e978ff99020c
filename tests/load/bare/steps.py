"""The words of a gateway's steps, as its server heard them: one call of each kind, to be sent again for other calls."""

from __future__ import annotations

import re
import socket
import time
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from types import TracebackType

STEPS: Final = ("reserve", "answer", "extend", "settle")
CALL, TENANT, LEG = "<call>", "<tenant>", "<leg>"
_FCALL: Final = re.compile(rb'^\+\S+ \[[^\]]*\] "FCALL" "callgate_\d+_(\w+)" ')
_WORD: Final = re.compile(rb'"((?:[^"\\]|\\.)*)"')
_NAME: Final = re.compile(r"cg:\{(.*)\}:call:(.*)")


def filled_in(words: list[str], tenant: str, call_id: str, leg: str) -> list[str]:
    """Function, number of keys, keys and words of another call."""
    return [word.replace(TENANT, tenant).replace(CALL, call_id).replace(LEG, leg) for word in words]


class Listener:
    """Hears what a server is sent: MONITOR, on its unix socket. It costs the server much: close it."""

    def __init__(self, path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(10)
        self._socket.connect(path)
        self._socket.sendall(b"MONITOR\r\n")
        self._lines = self._socket.makefile("rb")
        assert self._lines.readline() == b"+OK\r\n"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: type[BaseException] | None, _error: object, _trace: TracebackType | None) -> None:
        self._lines.close()
        self._socket.close()

    def steps_of_a_call(self, timeout_seconds: float = 10.0) -> dict[str, list[str]]:
        """The words of each of STEPS of the next call, with places for what is a call's own. Raises TimeoutError."""
        heard: dict[str, list[str]] = {}
        deadline = time.monotonic() + timeout_seconds
        while set(heard) != set(STEPS):
            if time.monotonic() > deadline:
                raise TimeoutError(f"of a call the server heard {list(heard)} only")
            line = self._lines.readline()
            found = _FCALL.match(line)
            if found is not None and (name := found[1].decode()) in STEPS:
                heard[name] = _with_places(_words(line))
        return heard


def _words(line: bytes) -> list[str]:
    """Function, number of keys, keys and words."""
    return [word.decode("unicode_escape").encode("latin-1").decode() for word in _WORD.findall(line)[1:]]


def _with_places(words: list[str]) -> list[str]:
    tenant, call_id = next(found.groups() for word in words if (found := _NAME.fullmatch(word)))
    own = [word.replace(call_id, CALL).replace(f"{{{tenant}}}", f"{{{TENANT}}}") for word in words]
    if words[0].endswith("_answer"):
        own[own.index(CALL) + 1] = LEG
    return own
