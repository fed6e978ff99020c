"""The caller's warning on the wire: what is asked, set and pressed, and what is not where the PBX is not ready."""

import pytest
from structlog.testing import capture_logs

from gateway.adapters.ami import warning
from gateway.ports import SwitchUnavailable
from tests.contract import ami_events as ev
from tests.contract.ami_server import Action, Session, reply
from tests.contract.conftest import Bench


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at once whether the dialplan took it."""
    monkeypatch.setattr(warning, "TAKEN_WITHIN_SECONDS", 0.0)


class Channel:
    """A caller's channel with one variable; its bridge takes the digit, or does not."""

    def __init__(self, bench: Bench, state: str, *, takes_digit: bool = True) -> None:
        self.state = state
        self.takes_digit = takes_digit
        self.taken: list[str] = []
        bench.server.answers |= {"Getvar": self._get, "Setvar": self._set, "PlayDTMF": self._digit}

    async def _get(self, _: Session, action: Action) -> bytes:
        return reply(action, "Success", Variable=action["Variable"], Value=self.state)

    async def _set(self, _: Session, action: Action) -> bytes:
        self.state = action["Value"]
        return reply(action, "Success", "Variable Set")

    async def _digit(self, _: Session, action: Action) -> bytes:
        if self.takes_digit:
            self.taken.append(self.state)
            self.state = "ready"
        return reply(action, "Success", "DTMF successfully queued")


@pytest.mark.parametrize("sound", ["", "callgate/ten-seconds"])
async def test_a_channel_that_is_ready_is_told_what_to_play(bench: Bench, sound: str) -> None:
    """The variable first, then the received digit, both by Uniqueid; nothing is said in the log."""
    channel = Channel(bench, "ready")
    switch = await bench.up()
    with capture_logs() as logs:
        await switch.warn(ev.CALLER, sound)
    assert channel.taken == [f"now:{sound}"]
    (digit,) = bench.server.sent("PlayDTMF")
    assert (digit["Channel"], digit["Digit"], digit["Receive"]) == (ev.CALLER, "D", "true")
    assert [entry["event"] for entry in logs if entry["event"].startswith("warning.")] == []


async def test_a_channel_that_is_not_ready_gets_no_digit(bench: Bench) -> None:
    """It would go to the far end. The log says once what is missing."""
    Channel(bench, "")
    switch = await bench.up()
    with capture_logs() as logs:
        await switch.warn(ev.CALLER, "")
        await switch.warn(ev.CALLER, "")
    assert bench.server.sent("PlayDTMF") == bench.server.sent("Setvar") == []
    assert [entry["event"] for entry in logs if entry["event"].startswith("warning.")] == ["warning.not_ready"]


async def test_a_digit_that_no_feature_takes_is_told_of_once(bench: Bench) -> None:
    """The dialplan made the channel ready, but features.conf lacks the line."""
    Channel(bench, "ready", takes_digit=False)
    switch = await bench.up()
    with capture_logs() as logs:
        await switch.warn(ev.CALLER, "")
    (entry,) = [entry for entry in logs if entry["event"] == "warning.not_heard"]
    assert "features.conf" in entry["remedy"]


async def test_a_caller_who_is_gone_needs_no_warning(bench: Bench) -> None:
    """No such channel: no fault, nothing in the log."""

    async def gone(_: Session, action: Action) -> bytes:
        return reply(action, "Error", "No such channel")

    bench.server.answers["Getvar"] = gone
    switch = await bench.up()
    with capture_logs() as logs:
        await switch.warn(ev.CALLER, "")
    assert bench.server.sent("PlayDTMF") == []
    assert [entry for entry in logs if entry["event"].startswith("warning.")] == []


async def test_without_a_link_a_warning_is_refused(bench: Bench) -> None:
    """As every action is; a sound that would break a line is none."""
    with pytest.raises(SwitchUnavailable):
        await bench.make().warn(ev.CALLER, "")
    Channel(bench, "ready")
    switch = await bench.up()
    with pytest.raises(ValueError, match="CR, LF"):
        await switch.warn(ev.CALLER, "x\r\nAction: Originate")
