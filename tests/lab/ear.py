"""A phone's or carrier's media address that listens: what RTP came, when, and how loud it was."""

from __future__ import annotations

import socket
import struct
import threading
import time
from dataclasses import dataclass
from typing import Self

PCMU = 0  # RFC 3551
HEADER_BYTES = 12
PACKET_SECONDS = 0.02
LOUD = 200  # of 32,124; a silent line is below 10


def _linear(byte: int) -> int:
    """One sample of G.711 mu-law."""
    inverted = ~byte & 0xFF
    size = (((inverted & 0x0F) << 3) + 0x84) << ((inverted & 0x70) >> 4)
    return 0x84 - size if inverted & 0x80 else size - 0x84


_SQUARES = [_linear(byte) ** 2 for byte in range(256)]


@dataclass(frozen=True)
class Packet:
    """One packet of RTP: when it came (epoch seconds of this machine), its payload type, its loudness (RMS)."""

    at: float
    payload_type: int
    level: float

    @property
    def is_loud(self) -> bool:
        """It holds more than silence."""
        return self.payload_type == PCMU and self.level > LOUD


class Ear:
    """Listens on a UDP port of its own; it says nothing unless told to ``hum``."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.packets: list[Packet] = []
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((address, 0))
        self.port = int(self._socket.getsockname()[1])
        self._socket.settimeout(0.1)
        self._is_over = threading.Event()
        self._threads = [threading.Thread(target=self._listen, daemon=True)]
        self._threads[0].start()

    def _listen(self) -> None:
        while not self._is_over.is_set():
            try:
                data = self._socket.recv(2048)
            except TimeoutError:
                continue
            payload = data[HEADER_BYTES:]
            level = (sum(_SQUARES[byte] for byte in payload) / max(1, len(payload))) ** 0.5
            self.packets.append(Packet(time.time(), data[1] & 0x7F, level))

    def hum(self, to: tuple[str, int]) -> None:
        """Send a steady low tone to where the PBX listens."""
        self._threads.append(threading.Thread(target=self._hum, args=(to,), daemon=True))
        self._threads[-1].start()

    def _hum(self, to: tuple[str, int]) -> None:
        number, payload = 0, bytes((0x50, 0xD0) * 80)
        while not self._is_over.wait(PACKET_SECONDS):
            header = struct.pack("!BBHII", 0x80, PCMU, number & 0xFFFF, number * 160, self.port)
            self._socket.sendto(header + payload, to)
            number += 1

    def loud(self, since: float, until: float) -> list[Packet]:
        """What was more than silence in a window."""
        return [each for each in self.packets if since <= each.at < until and each.is_loud]

    def other(self) -> list[Packet]:
        """What was no voice: a digit as RFC 4733 sends it would be here."""
        return [each for each in self.packets if each.payload_type != PCMU]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join(2)
        self._socket.close()
