"""Logging: structlog to standard error, JSON where nobody looks, coloured lines on a terminal.

The gateway's own lines go straight from structlog to the stream. What libraries (aiohttp, panoramisk) say
through the standard library's ``logging`` comes out of the same renderer, from WARNING on.
"""

import logging
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final, TextIO, cast

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from gateway.core import masking
from gateway.core.cdr import SHOWN_AMOUNTS, CallRecord, facts_of
from gateway.core.masking import masked, masked_in

LEVELS: Final = ("debug", "info", "warning", "error")
NUMBERS: Final = ("full", "masked")
_LIBRARIES_FROM: Final = logging.WARNING
_CONTROLS: Final = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0)) if code not in (0x09, 0x0A)}
_NO_NUMBERS: Final = frozenset({"timestamp", "call", "event_id", "id", "prefix", "amount", "in_all"}) | SHOWN_AMOUNTS


def configure(
    level: str = "info", stream: TextIO | None = None, *, numbers: str = "full", process: int | None = None
) -> None:
    """Set up logging, once, at the start: a logger already used keeps what it had (it is cached).

    ``level`` is one of LEVELS and ``numbers`` one of NUMBERS, else ValueError; ``stream`` is standard error unless
    given; ``process`` stands in each line, where several write.
    """
    if level not in LEVELS:
        raise ValueError(f"log level {level!r} is none: write one of {', '.join(LEVELS)}")
    if numbers not in NUMBERS:
        raise ValueError(f"numbers = {numbers!r} is nothing: write one of {', '.join(NUMBERS)}")
    target = stream if stream is not None else sys.stderr
    out = _Patient(target)
    render = _renderers(is_terminal=target.isatty(), is_masked=numbers == "masked")
    shared: list[Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if process is not None:
        shared.append(_in_each(process))
    structlog.configure(
        processors=[*shared, *render],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.WriteLoggerFactory(cast("TextIO", out)),
        cache_logger_on_first_use=True,
    )
    _route_libraries(shared, render, cast("TextIO", out))


def _in_each(process: int) -> Processor:
    def add(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
        return {"process": process, **event}

    return add


class _Patient:
    """A stream whose faults end here: a full disk under the log must not stop the books of a call."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except (OSError, ValueError):
            return 0

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            self._stream.flush()


def _renderers(*, is_terminal: bool, is_masked: bool) -> list[Processor]:
    chain: list[Processor] = [structlog.processors.format_exc_info]
    if is_masked:
        chain.append(_without_numbers)
    if is_terminal:
        # Its own tracebacks show what each function held: secrets, too.
        traceback = structlog.dev.plain_traceback
        return [*chain, _harmless, structlog.dev.ConsoleRenderer(colors=True, exception_formatter=traceback)]
    return [*chain, structlog.processors.JSONRenderer(default=repr, ensure_ascii=True)]


def _without_numbers(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
    """Mask what is a number by its name, and what looks like one in any other text."""
    return {name: _masked(name, value) for name, value in event.items()}


def _masked(name: str, value: object) -> object:
    if name in _NO_NUMBERS:
        return value
    if isinstance(value, str):
        return masked(value) if name in masking.NUMBERS else masked_in(value)
    if isinstance(value, Mapping):
        return {key: _masked(key, each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_masked(name, each) for each in value]
    # Anything but figures would be shown by its repr, which may hold a number.
    return value if isinstance(value, int | float | None) else masked_in(repr(value))


def _harmless(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
    """Escape control characters: an escape sequence in a caller ID must not drive a terminal."""
    for key, value in event.items():
        if isinstance(value, str) and not value.isprintable():
            event[key] = value.translate(_CONTROLS)
    return event


def _route_libraries(shared: list[Processor], render: list[Processor], out: TextIO) -> None:
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name, structlog.stdlib.ExtraAdder()],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *render],
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(formatter)
    handler.setLevel(_LIBRARIES_FROM)
    root = logging.getLogger()
    for old in [known for known in root.handlers if getattr(known, "is_callgate", False)]:
        root.removeHandler(old)
    handler.is_callgate = True  # type: ignore[attr-defined]
    root.addHandler(handler)
    root.setLevel(_LIBRARIES_FROM)


class LogCDRSink:
    """Implements ``ports.CDRSink``: one ``call.closed`` line a call, with every field of its record."""

    def __init__(self) -> None:
        # A level of its own: [log] level = "warning" must not lose the records of calls.
        self._log: Any = structlog.wrap_logger(
            None,
            wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
            cache_logger_on_first_use=True,
        )

    def write(self, record: CallRecord) -> None:
        """Log one record."""
        self._log.info("call.closed", **facts_of(record))
