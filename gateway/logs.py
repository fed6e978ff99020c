"""Logging: structlog to standard error, JSON where nobody looks, coloured lines on a terminal.

The gateway's own lines go straight from structlog to the stream. What libraries (aiohttp, panoramisk) say
through the standard library's ``logging`` comes out of the same renderer, from WARNING on.
"""

import logging
import sys
from collections.abc import MutableMapping
from contextlib import suppress
from dataclasses import fields
from typing import Any, Final, TextIO, cast

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from gateway.core.cdr import CallRecord
from rating.money import format_amount

LEVELS: Final = ("debug", "info", "warning", "error")
_LIBRARIES_FROM: Final = logging.WARNING
_CONTROLS: Final = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0)) if code not in (0x09, 0x0A)}
_MICROS: Final = "_micros"
_AMOUNTS: Final = {f.name: f.name.removesuffix(_MICROS) for f in fields(CallRecord) if f.name.endswith(_MICROS)}
_FACTS: Final = tuple(f.name for f in fields(CallRecord) if f.name not in _AMOUNTS)


def configure(level: str = "info", stream: TextIO | None = None) -> None:
    """Set up logging, once, at the start: a logger already used keeps what it had (it is cached).

    ``level`` is one of LEVELS, else ValueError; ``stream`` is standard error unless given.
    """
    if level not in LEVELS:
        raise ValueError(f"log level {level!r} is none: write one of {', '.join(LEVELS)}")
    target = stream if stream is not None else sys.stderr
    out = _Patient(target)
    render = _renderers(is_terminal=target.isatty())
    shared: list[Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, *render],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.WriteLoggerFactory(cast("TextIO", out)),
        cache_logger_on_first_use=True,
    )
    _route_libraries(shared, render, cast("TextIO", out))


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


def _renderers(*, is_terminal: bool) -> list[Processor]:
    if is_terminal:
        # Its own tracebacks show what each function held: secrets, too.
        traceback = structlog.dev.plain_traceback
        return [_harmless, structlog.dev.ConsoleRenderer(colors=True, exception_formatter=traceback)]
    return [
        structlog.processors.format_exc_info,
        structlog.processors.JSONRenderer(default=repr, ensure_ascii=True),
    ]


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
    """Implements ``ports.CDRSink``: one ``call.closed`` line a call, with every field of its record.

    An amount is a string in units of the currency, under its name without ``_micros``: ``charged="0.40"``.
    """

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


def facts_of(record: CallRecord) -> MutableMapping[str, object]:
    """A record as flat facts, its amounts as strings."""
    facts: dict[str, object] = {name: getattr(record, name) for name in _FACTS}
    for name, shown in _AMOUNTS.items():
        facts[shown] = format_amount(getattr(record, name))
    return facts
