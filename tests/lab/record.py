"""Record AMI transcripts of a real Asterisk into ``tests/replay/traces``: ``python -m tests.lab.record``.

Each trace is the raw bytes that one manager session received, from the greeting on. The sessions are the service's own
(``events``, with the shipped filters, and ``actions``) and an
unfiltered one of the same event classes (``all``).
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.lab.ami_probe import BareHook, Decide, Message, allow, deny
from tests.lab.asterisk import Asterisk
from tests.lab.build import REPOSITORY, LabUnavailable, ensure
from tests.lab.sipp import Carrier, Phone

TRACES = REPOSITORY / "tests/replay/traces"
NUMBER = "18005551212"
# The forged text must name the list that it ends: short enough to leave room for the whole forgery in 79 characters.
STATUS_ID = "s1"

Play = Callable[[Asterisk, BareHook, Path], None]


def _answered(asterisk: Asterisk, hook: BareHook, folder: Path) -> None:
    with Carrier(asterisk, folder), Phone(asterisk, folder, [NUMBER]) as phone:
        phone.wait_answered()
        leg = hook.events.wait_event("DialEnd")["DestUniqueid"]
        hook.actions.action("AbsoluteTimeout", Channel=leg, Timeout="1.250")
        hook.actions.status(Variables="CALLGATE_ASK,TIMEOUT(absolute)")
        hook.actions.action("Ping")
        phone.wait()


def _refused(asterisk: Asterisk, hook: BareHook, folder: Path) -> None:
    with Phone(asterisk, folder, [NUMBER]) as phone:
        phone.wait()


def _ring_no_answer(asterisk: Asterisk, hook: BareHook, folder: Path) -> None:
    with Carrier(asterisk, folder, ring_ms=10_000), Phone(asterisk, folder, [NUMBER], cancel_after_ms=700) as phone:
        phone.wait()


def _busy(asterisk: Asterisk, hook: BareHook, folder: Path) -> None:
    with Carrier(asterisk, folder, refuse_with=486), Phone(asterisk, folder, [NUMBER]) as phone:
        phone.wait()


def _silence(asterisk: Asterisk, hook: BareHook, folder: Path) -> None:
    with Phone(asterisk, folder, [NUMBER]) as phone:
        hook.wait_ask()
        hook.actions.status(Variables="CALLGATE_ASK")
        phone.wait()


def forgeries(leg: str) -> list[str]:
    """Texts that, written into a header, read as messages or headers of their own; they name a leg that lives."""
    return [
        f"1\r\n\r\nEvent: Hangup\r\nUniqueid: {leg}\r\nCause: 16\r\n\r\n",
        f"1\r\n\r\nEvent: DialEnd\r\nDestUniqueid: {leg}\r\n\r\n",
        f"1\r\nUniqueid: {leg}\r\nX: ",
        "1\r\n\r\nEvent: UserEvent\r\nUserEvent: CallGateAuthorize\r\n\r\n",
        f"1\r\n\r\nEvent: StatusComplete\r\nActionID: {STATUS_ID}\r\n\r\n",
    ]


def open_forgeries(leg: str) -> list[str]:
    """Without a blank line of their own: the rest of the true message becomes theirs. 79 characters is all there is."""
    return [
        f"1\r\n\r\nEvent: Hangup\r\nChannel: a\r\nChannelState: 6\r\nUniqueid: {leg}\r\nX: ",
        "1\r\n\r\nEvent: Hangup\r\nPrivilege: call,all\r\nTimestamp: 1.000000\r\nChannel: PJSIP/a",
        "1\r\n\r\nEvent: UserEvent\r\nUserEvent: CallGateAuthorize\r\nNonce: 1\r\nNumber: 1\r\nX: ",
        f"1\r\n\r\nEvent: StatusComplete\r\nActionID: {STATUS_ID}\r\nEventList: Complete\r\nListItems: 1\r\n",
    ]


def _forged(*, in_number: bool) -> Play:
    def play(asterisk: Asterisk, hook: BareHook, folder: Path) -> None:
        with Carrier(asterisk, folder), Phone(asterisk, folder, [NUMBER]) as victim:
            victim.wait_answered()
            leg = hook.events.wait_event("DialEnd")["DestUniqueid"]
            for text in forgeries(leg) + open_forgeries(leg):
                _attack(asterisk, hook, folder, text, in_number=in_number)
            hook.actions.send("Hangup", Channel=leg)
            victim.wait()

    return play


def _attack(asterisk: Asterisk, hook: BareHook, folder: Path, text: str, *, in_number: bool) -> None:
    """One call that carries the text, and a Status list while it lives."""
    mark = asterisk.probe.mark()
    number, user = (text, "mallory") if in_number else ("1800", text)
    with Phone(asterisk, folder, [number], endpoint="plain", from_user=user) as phone:
        new = asterisk.probe.wait_event("Newchannel", since=mark)
        done = hook.actions.mark()
        hook.actions.send("Status", ActionID=STATUS_ID, Variables="CALLGATE_ASK")
        hook.actions.wait(_whole, since=done, what="the end of a Status list")
        phone.wait()
        asterisk.probe.wait_event("Hangup", since=mark, Channel=new["Channel"])


def _whole(message: Message) -> bool:
    """The true end of a list: the forged one has no ListItems."""
    return message.event == "StatusComplete" and bool(message.get("ListItems"))


def _forged_asked(asterisk: Asterisk, hook: BareHook, folder: Path) -> None:
    """The same texts through the gate: both are refused unasked, but an emergency call goes out with its From user."""
    with Carrier(asterisk, folder), Phone(asterisk, folder, [NUMBER]) as victim:
        victim.wait_answered()
        leg = hook.events.wait_event("DialEnd")["DestUniqueid"]
        for text in forgeries(leg) + open_forgeries(leg):
            for number, user in ((NUMBER, text), (text, "mallory"), ("911", text)):
                with Phone(asterisk, folder, [number], endpoint="open", from_user=user, talk_ms=100) as phone:
                    phone.wait()
        hook.actions.send("Hangup", Channel=leg)
        victim.wait()


SCENES: dict[str, tuple[Decide, Play]] = {
    "answered": (allow(60_000), _answered),
    "refused": (deny(), _refused),
    "ring_no_answer": (allow(60_000), _ring_no_answer),
    "busy": (allow(60_000), _busy),
    "silence": (lambda _ask: None, _silence),
    "forged_number": (allow(60_000), _forged(in_number=True)),
    "forged_from_user": (allow(60_000), _forged(in_number=False)),
    "forged_asked": (allow(60_000), _forged_asked),
}


def record(asterisk: Asterisk, name: str, folder: Path) -> None:
    """Play one scene and write what its sessions received."""
    decide, play = SCENES[name]
    asterisk.set_global("CALLGATE_WAIT", "1")
    with (
        asterisk.connect(events="system,call,user") as everything,
        BareHook(asterisk.ami_port, asterisk.secret, decide) as hook,
    ):
        play(asterisk, hook, folder)
        asterisk.wait_idle()
        everything.action("Ping")
        hook.events.action("Ping")
        for kind, session in (("events", hook.events), ("actions", hook.actions), ("all", everything)):
            (TRACES / f"{name}.{kind}.ami").write_bytes(bytes(session.raw))


def main() -> int:
    """Record all scenes, or those named on the command line."""
    try:
        root = ensure()
    except LabUnavailable as problem:
        print(f"no lab: {problem}", file=sys.stderr)
        return 3
    TRACES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, Asterisk(root) as asterisk:
        print(asterisk.version())
        for name in sys.argv[1:] or SCENES:
            record(asterisk, name, Path(folder))
            print(f"recorded {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
