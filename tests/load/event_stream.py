"""Manager events of many calls, made of a recorded one: each with channels, times and a nonce of its own."""

from __future__ import annotations

import random
import re
from typing import TYPE_CHECKING, Final

from tests.replay.test_traces import recorded

if TYPE_CHECKING:
    from collections.abc import Iterator

END: Final = b"\r\n\r\n"
SEED: Final = 10
AT_ONCE: Final = 50  # calls whose events come between each other's
CHUNK_BYTES: Final = (300, 6_000)  # what one read of a socket brings: some events, or a piece of one
_STAMP: Final = re.compile(rb"(?<=\r\nTimestamp: )[\d.]+")
_STARTED: Final = b"1795364079"


def greeting() -> bytes:
    """What Asterisk says first."""
    return recorded("answered.events").partition(b"\r\n")[0] + b"\r\n"


def events_of_a_call(trace: str) -> list[bytes]:
    """The events of the recorded call, without its login and what is told at a login."""
    frames = recorded(trace).partition(b"\r\n")[2].split(END)
    return [frame for frame in frames if frame.startswith(b"Event: ") and not frame.startswith(b"Event: FullyBooted")]


def stream(trace: str, calls: int) -> bytes:
    """So many calls."""
    events = events_of_a_call(trace)
    written: list[bytes] = []
    for first in range(0, calls, AT_ONCE):
        for event in events:
            written += [_of_call(event, number) for number in range(first, min(first + AT_ONCE, calls))]
    return END.join([*written, b""])


def _of_call(event: bytes, number: int) -> bytes:
    event = re.sub(
        rb"\b%b\.([01])\b" % _STARTED, lambda found: b"%b.%d" % (_STARTED, 2 * number + int(found[1])), event
    )
    event = re.sub(rb"(?<=\r\nNonce: )\d+", b"%018d" % (number + 1), event)
    event = re.sub(rb"(PJSIP/\w+-)[0-9a-f]{8}", lambda found: found[1] + b"%08x" % number, event)
    return _STAMP.sub(b"%b.%06d" % (_STARTED, number % 1_000_000), event)


def chunks(data: bytes) -> Iterator[bytes]:
    """Cut as a socket would, the same way each time."""
    lot, at = random.Random(SEED), 0
    while at < len(data):
        size = lot.randint(*CHUNK_BYTES)
        yield data[at : at + size]
        at += size
