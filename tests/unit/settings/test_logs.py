"""What a log line looks like."""

import io
import json
import logging
from collections.abc import Iterator
from dataclasses import fields, replace
from typing import Any

import pytest
import structlog

from gateway.core.cdr import CallRecord
from gateway.logs import LogCDRSink, _Patient, configure

RECORD = CallRecord(
    call_id="pbx1/1.2/77",
    switch="pbx1",
    tenant="acme",
    cli="2001",
    dialled="18005551212",
    e164="+18005551212",
    call_class="toll_free",
    outcome="settled",
    reason="",
    asked_at_ms=1_000,
    answered_at_ms=2_000,
    ended_at_ms=62_000,
    billsec=60,
    granted_seconds=60,
    extensions=0,
    charged_micros=20_000,
    balance_micros=-1_500_000,
    currency="USD",
    prefix="1800",
    leg="1.3",
    cause_q850=16,
    was_cut=True,
)
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """Somebody looks."""
        return True


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    """Each line's JSON."""
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_json_where_nobody_looks() -> None:
    """Off a terminal each line is one JSON object with time, level and the given facts."""
    out = io.StringIO()
    configure("info", out)
    structlog.get_logger().info("call.asked", number="1800\r\nforged: yes", cli="\u00e9")
    (line,) = lines(out)
    assert (line["event"], line["level"]) == ("call.asked", "info")
    assert (line["number"], line["cli"]) == ("1800\r\nforged: yes", "\u00e9")
    assert line["timestamp"].endswith("Z")


def test_a_terminal_gets_no_escape_sequences_of_a_caller() -> None:
    """On a terminal a line is for people, and control characters in a fact are shown, not obeyed."""
    out = Terminal()
    configure("info", out)
    structlog.get_logger().info("call.asked", cli="\x1b[2Jgone\x9b1m")
    assert "\x1b[2J" not in out.getvalue()
    assert "\x9b" not in out.getvalue()
    assert "\\x1b[2Jgone" in out.getvalue()
    assert not out.getvalue().startswith("{")


@pytest.mark.parametrize("kind", [io.StringIO, Terminal])
def test_a_traceback_shows_no_secret(kind: type[io.StringIO]) -> None:
    """It tells where it was, and not what the functions held: a webhook's secret, a password."""
    out = kind()
    configure("info", out)

    def sign(secret: str) -> None:
        raise RuntimeError(f"a secret of {len(secret)} letters")

    try:
        sign(SECRET)
    except RuntimeError as error:
        structlog.get_logger().error("failed", exc_info=error)
    assert "a secret of 38 letters" in out.getvalue()
    assert SECRET not in out.getvalue()


def test_level() -> None:
    """What is below the level is not written."""
    out = io.StringIO()
    configure("warning", out)
    structlog.get_logger().info("hidden")
    structlog.get_logger().warning("shown")
    assert [line["event"] for line in lines(out)] == ["shown"]


def test_an_unknown_level_is_refused() -> None:
    """A level that is none is an error that lists those there are."""
    with pytest.raises(ValueError, match="debug, info, warning, error"):
        configure("loud", io.StringIO())
    with pytest.raises(ValueError, match="full, masked"):
        configure("info", io.StringIO(), numbers="some")


def test_libraries_speak_through_the_same_renderer() -> None:
    """A warning of the standard library's logging comes out as the same JSON, once, and its info not at all."""
    out = io.StringIO()
    configure("debug", out)
    configure("debug", out)
    logging.getLogger("panoramisk").info("hidden")
    logging.getLogger("panoramisk").warning("lost %s", "link", extra={"switch": "pbx1"})
    (line,) = lines(out)
    assert (line["event"], line["level"], line["logger"]) == ("lost link", "warning", "panoramisk")
    assert line["switch"] == "pbx1"


def test_an_exception_stays_one_line() -> None:
    """A traceback is a field of its JSON line."""
    out = io.StringIO()
    configure("info", out)
    try:
        _ = 1 / 0
    except ZeroDivisionError:
        structlog.get_logger().exception("broke")
        logging.getLogger("aiohttp").exception("broke too")
    assert ["ZeroDivisionError" in line["exception"] for line in lines(out)] == [True, True]


def test_a_closed_call_is_one_line() -> None:
    """A record becomes one call.closed line with every field, its amounts as exact decimal strings."""
    out = io.StringIO()
    configure("info", out)
    LogCDRSink().write(RECORD)
    (line,) = lines(out)
    assert line["event"] == "call.closed"
    assert (line["charged"], line["balance"], line["currency"]) == ("0.02", "-1.50", "USD")
    assert line["call"] == RECORD.call_id
    for field in fields(RECORD):
        if field.name != "call_id" and not field.name.endswith("_micros"):
            assert line[field.name] == getattr(RECORD, field.name)


@pytest.mark.parametrize("kind", [io.StringIO, Terminal])
def test_no_line_shows_a_full_number_where_the_config_says_so(kind: type[io.StringIO]) -> None:
    """Neither that of a field, nor one in another text, a traceback, something nested or what a library says."""
    out = kind()
    configure("info", out, numbers="masked")
    log = structlog.get_logger()
    LogCDRSink().write(replace(RECORD, cli="Ann Smith", balance_micros=1_234_567_000_000))
    log.info(
        "leg.adopted", call="pbx1/1795412120.7/1234567", number="+18005551212", channel="Local/18005551212@out-1;1"
    )
    log.info("event.has_no_receiver", facts={"target": "18005551212", "why": ["by +18005551212"], "at": Odd()})
    try:
        int("+18005551212 is not there")
    except ValueError as error:
        log.error("errand.failed", exc_info=error)
        logging.getLogger("panoramisk").warning("no answer to %s", "18005551212")
    told = out.getvalue()
    assert "8005551212" not in told
    assert "Ann" not in told
    for kept in ("pbx1/1795412120.7/1234567", "1234567.00", "+1********12", "errand.failed", "no answer to"):
        assert kept in told, kept


class Odd:
    """Something that JSON does not know."""

    def __repr__(self) -> str:
        return "of 18005551212"


def test_records_are_kept_at_any_level() -> None:
    """A log level of error loses no record of a call."""
    out = io.StringIO()
    configure("error", out)
    LogCDRSink().write(RECORD)
    assert [line["event"] for line in lines(out)] == ["call.closed"]


def test_a_log_that_cannot_be_written_raises_nothing() -> None:
    """A full disk under the log must not stop the books of a call."""

    class Full(io.StringIO):
        def write(self, _text: str) -> int:
            raise OSError(28, "No space left on device")

    stream = _Patient(Full())
    assert stream.write("a line") == 0
    stream.flush()
