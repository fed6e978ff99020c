"""SIPp as phone and as carrier; what happened is read from its short-message log, never from a screen."""

from __future__ import annotations

import re
import secrets
import signal
import socket
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Self
from urllib.parse import quote, unquote

from tests.lab import process
from tests.lab.asterisk import CARRIER_ADDRESS, PHONES, Asterisk

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.lab.ear import Ear

SCENARIOS = Path(__file__).parent / "scenarios"
# Every final refusal that Asterisk maps a hangup cause to, and a few more; one not listed fails the SIPp call.
_REFUSALS = (
    400,
    401,
    402,
    403,
    404,
    408,
    410,
    415,
    420,
    480,
    481,
    482,
    483,
    484,
    486,
    487,
    488,
    491,
    500,
    501,
    502,
    503,
    504,
    603,
)
FOREVER_MS = 3_600_000
_OWN_MEDIA = {"MEDIA_IP": "[media_ip]", "MEDIA_PORT": "[media_port]"}

_REFUSAL_LINE = '  <recv response="{code}" optional="true" next="refused"/>'
_INFO = """  <pause milliseconds="{pause_ms}"/>
  <send retrans="500"><![CDATA[
INFO [next_url] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
From: <sip:[field1]@[local_ip]:[local_port]>;tag=[pid]p[call_number]
[last_To:]
Call-ID: [call_id]
CSeq: {cseq} INFO
Max-Forwards: 70
Content-Type: application/dtmf-relay
Content-Length: [len]

Signal={digit}
Duration=100
]]></send>
  <recv response="200"/>"""


@dataclass(frozen=True)
class SipMessage:
    """One line of SIPp's short-message log; `at` is epoch seconds of the same machine's clock."""

    at: float
    call_id: str
    sent: bool
    cseq: str
    first_line: str

    @property
    def status(self) -> int | None:
        """The status code of a response, None for a request."""
        return int(self.first_line.split()[1]) if self.first_line.startswith("SIP/2.0 ") else None

    @property
    def method(self) -> str:
        """The request's method, or the method that a response answers."""
        if self.status is None:
            return self.first_line.split()[0]
        return self.cseq.split()[-1]

    @property
    def number(self) -> str:
        """The user part of a request's URI, unescaped."""
        found = re.match(r"\w+ sip:([^@]*)@", self.first_line)
        return unquote(found[1]) if found else ""


@dataclass
class SipCall:
    """What one side saw of one call."""

    call_id: str
    messages: list[SipMessage] = field(default_factory=list)

    def _first(self, *, sent: bool, method: str, request: bool) -> SipMessage | None:
        for each in self.messages:
            if each.sent == sent and each.method == method and (each.status is None) == request:
                return each
        return None

    @property
    def invite(self) -> SipMessage:
        """The INVITE."""
        return next(each for each in self.messages if each.status is None and each.method == "INVITE")

    @property
    def number(self) -> str:
        """The number in the INVITE."""
        return self.invite.number

    @property
    def final(self) -> SipMessage | None:
        """The INVITE's final response."""
        for each in self.messages:
            if each.status is not None and each.status >= 200 and each.method == "INVITE":
                return each
        return None

    @property
    def status(self) -> int | None:
        """Code of the final response, None while there is none."""
        return self.final.status if self.final else None

    @property
    def final_after_ms(self) -> float:
        """Time from the INVITE to its final response."""
        assert self.final is not None, f"no final response: {self.messages}"
        return (self.final.at - self.invite.at) * 1000

    @property
    def answered_at(self) -> float | None:
        """When the 200 to the INVITE went by."""
        return self.final.at if self.final and self.final.status == 200 else None

    @property
    def bye(self) -> SipMessage | None:
        """The BYE, whoever sent it (`.sent` tells)."""
        return next((each for each in self.messages if each.status is None and each.method == "BYE"), None)

    @property
    def cancelled(self) -> bool:
        """Whether a CANCEL went by."""
        return any(each.status is None and each.method == "CANCEL" for each in self.messages)

    @property
    def talked_seconds(self) -> float:
        """From the answer to the BYE."""
        assert self.answered_at is not None, f"never answered: {self.messages}"
        assert self.bye is not None, f"not over: {self.messages}"
        return self.bye.at - self.answered_at


def read_log(path: Path) -> list[SipCall]:
    """All calls of a short-message log, in order of their first message."""
    calls: dict[str, SipCall] = {}
    if path.exists():
        for line in path.read_text(errors="replace").split("\n")[:-1]:
            message = _parse(line)
            if message is not None:
                calls.setdefault(message.call_id, SipCall(message.call_id)).messages.append(message)
    return list(calls.values())


def _parse(line: str) -> SipMessage | None:
    """Date, time, epoch seconds, S or R, Call-ID, CSeq line, first line."""
    fields = line.split("\t", 6)
    if len(fields) != 7:
        return None
    _, _, epoch, direction, call_id, cseq, first = fields
    return SipMessage(float(epoch), call_id, direction == "S", cseq.removeprefix("CSeq:").strip(), first.strip())


class _Sipp:
    """One SIPp process and its files in a folder of the test."""

    def __init__(self, folder: Path, scenario: str, values: dict[str, str], ear: Ear | None = None) -> None:
        self.folder = folder / f"sipp-{secrets.token_hex(4)}"
        self.folder.mkdir(parents=True)
        text = (SCENARIOS / f"{scenario}.xml").read_text()
        # Without an ear, media goes to a port of SIPp's own.
        media = {"MEDIA_IP": ear.address, "MEDIA_PORT": str(ear.port)} if ear else _OWN_MEDIA
        for key, value in (values | media).items():
            text = text.replace(f"@{key}@", value)
        (self.folder / "scenario.xml").write_text(text)
        self.process: subprocess.Popen[bytes] | None = None

    def run(self, address: str, *arguments: str) -> None:
        """Start SIPp, bound to one loopback address."""
        command = [
            "sipp", "-sf", "scenario.xml", "-i", address, "-bind_local", "-mi", address, "-ci", "127.0.0.1",
            "-nostdin", "-aa", "-timer_resol", "1", "-trace_shortmsg", "-shortmessage_file", "messages.log",
            "-trace_err", "-error_file", "errors.log", "-skip_rlimit", *arguments,
        ]  # fmt: skip
        self.process = process.spawn(command, self.folder / "console.log", cwd=self.folder)

    @property
    def calls(self) -> list[SipCall]:
        """The calls so far."""
        return read_log(self.folder / "messages.log")

    def errors(self) -> str:
        """What SIPp complained about."""
        parts = [self.folder / name for name in ("errors.log", "console.log")]
        return "\n".join(path.read_text(errors="replace")[-4000:] for path in parts if path.exists())

    def stop(self) -> None:
        """End it now."""
        if self.process is not None:
            process.end(self.process)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def escape(text: str) -> str:
    """Write a user part as a phone would: everything but digits, letters and +*-_. as %XX."""
    return quote(text, safe="+*-_.")


class Phone(_Sipp):
    """One run of SIPp as a phone: one or many calls."""

    def __init__(
        self, asterisk: Asterisk, folder: Path, numbers: Sequence[str], *,
        endpoint: str = "acme", talk_ms: int = FOREVER_MS,
        cancel_after_ms: int | None = None, from_user: str | None = None, digits: str = "", digit_pause_ms: int = 100,
        calls: int | None = None, rate_per_second: int = 1000, most_at_once: int = 20_000, ear: Ear | None = None,
    ) -> None:  # fmt: skip
        """Dial each of the numbers (decoded text; escaped here), at once or at a rate.

        :param calls: how many calls in all; the numbers are used in turn. Default: each number once.
        :param digits: sent by INFO, the first 0.7 s after the answer (Asterisk's Answer() waits up to 0.5 s for media).
        """
        self.expected = calls if calls is not None else len(numbers)
        infos = [
            _INFO.format(pause_ms=digit_pause_ms if index else 700, cseq=2 + index, digit=digit)
            for index, digit in enumerate(digits)
        ]
        super().__init__(
            folder,
            "phone" if cancel_after_ms is None else "phone_cancel",
            {
                "REFUSALS": "\n".join(_REFUSAL_LINE.format(code=code) for code in _REFUSALS),
                "DIGITS": "\n".join(infos),
                "TALK_MS": str(talk_ms),
                "CANCEL_MS": str(cancel_after_ms),
            },
            ear,
        )
        user = escape(endpoint if from_user is None else from_user)
        lines = "".join(f"{escape(number)};{user}\n" for number in numbers)
        (self.folder / "numbers.csv").write_text("SEQUENTIAL\n" + lines)
        address = PHONES[endpoint]
        self.run(
            address, "-p", str(process.free_port(socket.SOCK_DGRAM, address)), "-inf", "numbers.csv",
            "-m", str(self.expected), "-r", str(rate_per_second), "-l", str(most_at_once),
            "-cid_str", f"%u-{secrets.token_hex(4)}@{address}", f"127.0.0.1:{asterisk.sip_port}",
        )  # fmt: skip

    def wait(self, timeout_seconds: float = 15.0) -> list[SipCall]:
        """Wait until all calls are over.

        :raises AssertionError: when they are not, with SIPp's own errors.
        """
        assert self.process is not None
        try:
            self.process.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            self.stop()
            raise AssertionError(f"SIPp's calls did not end in {timeout_seconds} s: {self.calls}") from None
        assert len(self.calls) == self.expected, f"{len(self.calls)} of {self.expected} calls\n{self.errors()}"
        return self.calls

    def wait_answered(self, count: int = 1, timeout_seconds: float = 10.0) -> list[SipCall]:
        """Wait until that many calls are answered."""
        process.wait_for(lambda: len(self._answered()) >= count, timeout_seconds, f"{count} answers; {self.errors()}")
        return self._answered()

    def _answered(self) -> list[SipCall]:
        return [each for each in self.calls if each.answered_at is not None]


class Carrier(_Sipp):
    """SIPp as the carrier behind the trunk, until it is stopped."""

    def __init__(
        self, asterisk: Asterisk, folder: Path, *, ring_ms: int = 50, talk_ms: int = FOREVER_MS,
        refuse_with: int | None = None, forward_to: str = "nobody", ear: Ear | None = None,
        address: str = CARRIER_ADDRESS, port: int = 0,
    ) -> None:  # fmt: skip
        """Answer each call after `ring_ms` and hang up after `talk_ms`, or refuse each call.

        ``address`` and ``port``: of a further one that stands elsewhere.
        """
        values = {"RING_MS": str(max(ring_ms, 1)), "TALK_MS": str(talk_ms)}
        if refuse_with is not None:
            values = {"STATUS": str(refuse_with), "FORWARD_TO": forward_to}
        super().__init__(folder, "carrier" if refuse_with is None else "carrier_refuses", values, ear)
        port = port or asterisk.carrier_port
        self.run(address, "-p", str(port))
        self._wait_bound(address, port)

    def _wait_bound(self, address: str, port: int) -> None:
        """SIPp is ready when the kernel lists its socket."""
        octets = address.split(".")
        wanted = "".join(f"{int(each):02X}" for each in reversed(octets)) + f":{port:04X}"
        process.wait_for(lambda: wanted in Path("/proc/net/udp").read_text(), 5, f"SIPp's socket; {self.errors()}")

    def stop(self) -> None:
        """Let the calls that are just ending end (SIGUSR1), then end it."""
        if self.process is not None:
            process.end(self.process, polite=signal.SIGUSR1, patience_seconds=1.0)

    def wait_invites(self, count: int = 1, timeout_seconds: float = 5.0) -> list[SipCall]:
        """Wait until that many calls have arrived."""
        process.wait_for(lambda: len(self.calls) >= count, timeout_seconds, f"{count} INVITEs at the carrier")
        return self.calls
