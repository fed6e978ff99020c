"""A wire between the gateway and the manager port of a PBX that can be cut, held, or starved.

While it is held, nothing passes and nobody is told: no byte, no end of a connection, and a new connection comes no
further than the kernel's own queue. What was written meanwhile waits, as it does in a network that loses every packet.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

END = b"\r\n\r\n"
_TRICKLE_BYTES = 16
_READ_SECONDS = 0.02  # a reset takes away what its receiver has not read yet


class Way(StrEnum):
    """In which direction bytes pass."""

    TO_PBX = "to the PBX"
    TO_GATEWAY = "to the gateway"


BOTH = (Way.TO_PBX, Way.TO_GATEWAY)


@dataclass(frozen=True)
class MidMessage:
    """Where a connection is to be cut: in the next message that holds a text, once so many of its bytes have passed."""

    way: Way
    text: bytes
    passed_bytes: int
    is_reset: bool = False  # by RST, else by FIN


class AmiProxy:
    """Listens on a port of loopback (`port`) and passes each connection on to the port of a manager."""

    def __init__(self, upstream_port: int) -> None:
        self._upstream_port = upstream_port
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = int(self._listener.getsockname()[1])
        self._changed = threading.Condition()
        self._held: frozenset[Way] = frozenset()
        self._wires: list[_Wire] = []
        self._is_refusing = False
        self._is_closed = False
        self.mid_message: MidMessage | None = None
        self.bytes_a_second = 0  # in each direction of each connection; 0: as fast as can be
        self.cuts: list[float] = []  # when connections were cut in mid-message, in epoch seconds
        threading.Thread(target=self._accept, name="ami-proxy", daemon=True).start()

    # ----------------------------------------------------------------------------------------------------- faults

    def cut_in(self, mid_message: MidMessage) -> None:
        """Cut the one connection that carries it, when it comes; others stay."""
        self.mid_message = mid_message

    def hold(self, ways: Sequence[Way] = BOTH) -> None:
        """Let nothing pass in these directions, and tell nobody."""
        with self._changed:
            self._held = frozenset(ways)

    def release(self) -> None:
        """Let pass what waited, in its order, and all that comes."""
        with self._changed:
            self._held = frozenset()
            self._changed.notify_all()

    def cut(self, *, is_reset: bool = False) -> None:
        """End every connection; what waits in it is lost. New ones are taken."""
        for wire in self._wires:
            wire.cut(is_reset=is_reset)
        self.release()

    def refuse(self) -> None:
        """End every connection, and each new one at once, until `take_again`."""
        self._is_refusing = True
        self.cut(is_reset=True)

    def take_again(self) -> None:
        """Take new connections again."""
        self._is_refusing = False

    def close(self) -> None:
        """End all of it."""
        self._is_closed = True
        self.cut(is_reset=True)
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ------------------------------------------------------------------------------------------------------ wires

    def _accept(self) -> None:
        while not self._is_closed:
            try:
                near = self._listener.accept()[0]
            except OSError:
                return
            self.wait_open(Way.TO_PBX)
            try:
                far = None if self._is_refusing else socket.create_connection(("127.0.0.1", self._upstream_port))
            except OSError:
                far = None
            if far is None:
                _reset(near)
                near.close()
            else:
                self._wires = [wire for wire in self._wires if not wire.is_over]
                self._wires.append(_Wire(self, near, far))

    def wait_open(self, way: Way) -> None:
        """Wait until bytes may pass in that direction."""
        with self._changed:
            self._changed.wait_for(lambda: way not in self._held)


class _Wire:
    """One connection: a thread for each direction."""

    def __init__(self, proxy: AmiProxy, near: socket.socket, far: socket.socket) -> None:
        self._proxy = proxy
        self._ends = (near, far)
        self._is_cut = self._is_reset = False
        for end in self._ends:
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._pumps = [
            threading.Thread(target=self._pump, args=words, name=f"ami-proxy-{words[0]}", daemon=True)
            for words in ((Way.TO_PBX, near, far), (Way.TO_GATEWAY, far, near))
        ]
        self._running = len(self._pumps)
        self._ending = threading.Lock()
        for pump in self._pumps:
            pump.start()

    @property
    def is_over(self) -> bool:
        """Both directions have ended."""
        return self._running == 0

    def cut(self, *, is_reset: bool) -> None:
        """End it on both sides; a reset is sent when the threads have let go of the sockets."""
        self._is_cut, self._is_reset = True, is_reset
        for end in self._ends:
            with contextlib.suppress(OSError):
                if is_reset:
                    _reset(end)
                end.shutdown(socket.SHUT_RD if is_reset else socket.SHUT_WR)

    def _pump(self, way: Way, source: socket.socket, sink: socket.socket) -> None:
        waiting = b""
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                waiting += data
                while (piece := _first_message(waiting)) and not self._is_cut:
                    self._pass(way, piece, sink)
                    waiting = waiting[len(piece) :]
        self._proxy.wait_open(way)
        if not self._is_reset:  # the end of a stream would come before the reset
            with contextlib.suppress(OSError):
                sink.shutdown(socket.SHUT_WR)
        with self._ending:
            self._running -= 1
            if self.is_over:
                for end in self._ends:
                    end.close()

    def _pass(self, way: Way, piece: bytes, sink: socket.socket) -> None:
        proxy = self._proxy
        proxy.wait_open(way)
        if self._is_cut:
            return
        wanted = proxy.mid_message
        if wanted is not None and wanted.way is way and wanted.text in piece:
            proxy.mid_message = None
            sink.sendall(piece[: wanted.passed_bytes])
            time.sleep(_READ_SECONDS)
            proxy.cuts.append(time.time())
            self.cut(is_reset=wanted.is_reset)
        elif proxy.bytes_a_second:
            for start in range(0, len(piece), _TRICKLE_BYTES):
                sink.sendall(piece[start : start + _TRICKLE_BYTES])
                if proxy.bytes_a_second:
                    time.sleep(_TRICKLE_BYTES / proxy.bytes_a_second)
        else:
            sink.sendall(piece)


def _first_message(stream: bytes) -> bytes:
    """The first whole message, its end with it; the greeting is a line alone. Empty where there is none yet."""
    is_greeting = stream.startswith(b"Asterisk Call Manager/") and b"\r\n" in stream
    end = b"\r\n" if is_greeting else END
    found = stream.find(end)
    return b"" if found < 0 else stream[: found + len(end)]


def _reset(end: socket.socket) -> None:
    """Have a reset sent when the socket is closed."""
    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
