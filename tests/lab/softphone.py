"""A phone that does what SIPp's scenarios do not do well: it transfers, answers, forwards and replaces calls.

The smallest user agent of RFC 3261 that the lab needs, over UDP: one thread reads, one talks (silence, so that Local
channels can optimize themselves away), and the test drives.
"""

from __future__ import annotations

import contextlib
import itertools
import re
import secrets
import socket
import struct
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import quote

from tests.lab import process
from tests.lab.asterisk import PHONES, Asterisk

OK, ACCEPTED, MOVED = 200, 202, 302
_SDP = (
    "v=0\r\no=- 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\n"
    "m=audio {port} RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n"
)
_MEDIA = re.compile(rb"m=audio (\d+) ")
_RTP = struct.Struct("!BBHII")
_FRAME_SECONDS, _FRAME_SAMPLES = 0.02, 160
_TAG = re.compile(r";tag=([^;>\s]+)")
_URI = re.compile(r"<([^>]+)>")


@dataclass(frozen=True)
class _Message:
    first: str
    headers: Mapping[str, list[str]]

    def __getitem__(self, name: str) -> str:
        return self.headers[name.lower()][0]

    @property
    def status(self) -> int:
        """Of a response; 0 for a request."""
        return int(self.first.split()[1]) if self.first.startswith("SIP/2.0") else 0

    @property
    def method(self) -> str:
        """The request's, or that which a response answers."""
        return self["CSeq"].split()[1] if self.status else self.first.split()[0]


def _parse(data: bytes) -> _Message:
    first, *lines = data.decode(errors="replace").partition("\r\n\r\n")[0].split("\r\n")
    headers: dict[str, list[str]] = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers.setdefault(name.strip().lower(), []).append(value.strip())
    return _Message(first, headers)


def _tag(party: str) -> str:
    found = _TAG.search(party)
    assert found, "the dialog is not established"
    return found[1]


def _note_media(call: Dialog, data: bytes) -> None:
    if found := _MEDIA.search(data):
        call.media_port = int(found[1])


@dataclass
class Dialog:
    """One call of the phone's. ``status`` is the last answer to its own INVITE, or that it gave."""

    phone: Softphone
    call_id: str
    local: str  # what stands in From of its own requests, with its tag
    remote: str
    target: str
    status: int = 0
    is_over: bool = False
    media_port: int = 0  # of the PBX
    cseq: int = 1
    replies: dict[str, int] = field(default_factory=dict)  # the last status, by method
    notified: list[str] = field(default_factory=list)  # first lines of what NOTIFYs of a REFER told

    def wait_answered(self, timeout_seconds: float = 5.0) -> Self:
        """Until the far end picked up."""
        process.wait_for(lambda: self.status == OK, timeout_seconds, f"an answer (now {self.status})")
        return self

    def wait_over(self, timeout_seconds: float = 15.0) -> Self:
        """Until either side hung up, or the call failed."""
        process.wait_for(lambda: self.is_over, timeout_seconds, "the end of the call")
        return self

    @property
    def replaces(self) -> str:
        """This dialog as a Replaces header of somebody else's request names it (RFC 3891)."""
        mine, theirs = _tag(self.local), _tag(self.remote)
        return f"{self.call_id};to-tag={theirs};from-tag={mine}"

    def request(self, method: str, *headers: str, body: str = "") -> None:
        """Send a request within the dialog."""
        self.cseq += method != "ACK"
        number = 1 if method == "ACK" else self.cseq
        self.phone.send(
            f"{method} {self.target} SIP/2.0", self.phone.via(), f"From: {self.local}", f"To: {self.remote}",
            f"Call-ID: {self.call_id}", f"CSeq: {number} {method}", self.phone.contact, "Max-Forwards: 70",
            *headers, body=body,
        )  # fmt: skip

    def refer(self, number: str) -> None:
        """Blind transfer of the far end (RFC 3515)."""
        self._refer(f"<sip:{quote(number)}@{self.phone.pbx}>")

    def refer_to(self, other: Dialog) -> None:
        """Attended transfer: the far end takes this phone's place in the other call."""
        self._refer(f"<sip:x@{self.phone.pbx}?Replaces={quote(other.replaces, safe='')}>")

    def _refer(self, to: str) -> None:
        self.request("REFER", f"Refer-To: {to}", f"Referred-By: <sip:phone@{self.phone.address}>")
        process.wait_for(lambda: self.replies.get("REFER"), 5, "an answer to REFER")
        assert self.replies["REFER"] == ACCEPTED, self.replies

    def press(self, digits: str) -> None:
        """Digits by INFO, one after the other."""
        for digit in digits:
            self.replies.pop("INFO", None)
            body = f"Signal={digit}\r\nDuration=100\r\n"
            self.request("INFO", "Content-Type: application/dtmf-relay", body=body)
            process.wait_for(lambda: self.replies.get("INFO"), 5, "an answer to INFO")

    def hang_up(self) -> None:
        """BYE."""
        if not self.is_over:
            self.request("BYE")
            self.wait_over(5)


class Softphone:
    """One phone of the lab, at its own address: dials, and answers what rings (or sends it elsewhere)."""

    def __init__(
        self, asterisk: Asterisk, endpoint: str, port: int = 0, *, forward_to: str = "", ring_only: bool = False
    ) -> None:
        """``forward_to``: answer each call with a 302 to that number; ``ring_only``: never pick up by itself."""
        self.address = PHONES[endpoint]
        self.name = endpoint
        self.pbx = f"127.0.0.1:{asterisk.sip_port}"
        self.calls: list[Dialog] = []
        self._forward_to = forward_to
        self._ring_only = ring_only
        self._at = ("127.0.0.1", asterisk.sip_port)
        self._dialogs: dict[str, Dialog] = {}
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((self.address, port))
        self._socket.settimeout(0.1)
        self._media = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._media.bind((self.address, 0))
        self._is_closed = False
        self.port: int = self._socket.getsockname()[1]
        self.contact = f"Contact: <sip:{endpoint}@{self.address}:{self.port}>"
        self._sdp = _SDP.format(ip=self.address, port=self._media.getsockname()[1])
        self._threads = [threading.Thread(target=each, daemon=True) for each in (self._read, self._talk)]
        for thread in self._threads:
            thread.start()

    # -- what the test does

    def dial(self, number: str, *headers: str) -> Dialog:
        """INVITE; more headers may go with it (Replaces)."""
        local = f"<sip:{self.name}@{self.address}>;tag={secrets.token_hex(4)}"
        uri = f"sip:{quote(number)}@{self.pbx}"
        call = Dialog(self, f"{secrets.token_hex(8)}@{self.address}", local, f"<{uri}>", uri)
        self._dialogs[call.call_id] = call
        self.send(
            f"INVITE {uri} SIP/2.0", self.via(), f"From: {local}", f"To: <{uri}>", f"Call-ID: {call.call_id}",
            "CSeq: 1 INVITE", self.contact, "Max-Forwards: 70", *headers, "Content-Type: application/sdp",
            body=self._sdp,
        )  # fmt: skip
        return call

    def wait_rung(self, count: int = 1, timeout_seconds: float = 5.0) -> Dialog:
        """The last of so many calls that came in."""
        process.wait_for(lambda: len(self.calls) >= count, timeout_seconds, f"{count} calls at {self.name}")
        return self.calls[count - 1]

    # -- the wire

    def via(self) -> str:
        """A new branch."""
        return f"Via: SIP/2.0/UDP {self.address}:{self.port};rport;branch=z9hG4bK{secrets.token_hex(6)}"

    def send(self, first: str, *headers: str, body: str = "") -> None:
        """One message to the PBX."""
        text = "\r\n".join([first, *headers, f"Content-Length: {len(body)}", "", body])
        self._socket.sendto(text.encode(), self._at)

    def _read(self) -> None:
        while not self._is_closed:
            with contextlib.suppress(KeyError, TimeoutError):  # no call of this phone's
                data, _ = self._socket.recvfrom(65536)
                message = _parse(data)
                self._answered(message, data) if message.status else self._asked(message, data)

    def _talk(self) -> None:
        for count in itertools.count():
            if self._is_closed:
                return
            for call in tuple(self._dialogs.values()):
                if call.status == OK and call.media_port and not call.is_over:
                    header = _RTP.pack(0x80, 0, count & 0xFFFF, count * _FRAME_SAMPLES & 0xFFFFFFFF, 1)
                    self._media.sendto(header + b"\xff" * _FRAME_SAMPLES, ("127.0.0.1", call.media_port))
            time.sleep(_FRAME_SECONDS)

    def _answered(self, message: _Message, data: bytes) -> None:
        call = self._dialogs[message["Call-ID"]]
        if message.method != "INVITE":
            call.replies[message.method] = message.status
            call.is_over = call.is_over or message.method == "BYE"
            return
        call.remote = message["To"]
        _note_media(call, data)
        if message.status >= OK:
            if found := _URI.search(message.headers.get("contact", [""])[0]):
                call.target = found[1]
            call.request("ACK")
            call.is_over = call.is_over or message.status > OK
        call.status = message.status

    def _asked(self, message: _Message, data: bytes) -> None:
        if message.method == "ACK":
            return
        call = self._dialogs.get(message["Call-ID"])
        if message.method == "INVITE":
            self._rung(message, call, data)
            return
        if call is None:
            return
        self._reply(message, OK, call)
        if message.method == "NOTIFY":
            call.notified.append(data.partition(b"\r\n\r\n")[2].decode(errors="replace").strip())
        call.is_over = call.is_over or message.method in {"BYE", "CANCEL"}

    def _rung(self, message: _Message, call: Dialog | None, data: bytes) -> None:
        if call is None:
            local = f"{message['To']};tag={secrets.token_hex(4)}"
            target = _URI.search(message["Contact"])
            assert target
            call = Dialog(self, message["Call-ID"], local, message["From"], target[1])
            self._dialogs[call.call_id] = call
            if self._forward_to:
                call.status, call.is_over = MOVED, True
                self._reply(message, MOVED, call, f"Contact: <sip:{self._forward_to}@{self.pbx}>")
                return
            self._reply(message, 180, call)
            self.calls.append(call)
            if self._ring_only:
                return
        _note_media(call, data)
        call.status = OK
        self._reply(message, OK, call, "Content-Type: application/sdp", body=self._sdp)

    def _reply(self, message: _Message, status: int, call: Dialog, *headers: str, body: str = "") -> None:
        to = message["To"] if ";tag=" in message["To"] else call.local
        vias = [f"Via: {via}" for via in message.headers["via"]]
        contact = [] if any(header.startswith("Contact") for header in headers) else [self.contact]
        self.send(
            f"SIP/2.0 {status} Said", *vias, f"From: {message['From']}", f"To: {to}",
            f"Call-ID: {message['Call-ID']}", f"CSeq: {message['CSeq']}", *contact, *headers, body=body,
        )  # fmt: skip

    def close(self) -> None:
        """End what is left, and the phone."""
        for call in tuple(self._dialogs.values()):
            if call.status == OK and not call.is_over:
                with contextlib.suppress(TimeoutError):
                    call.hang_up()
        self._is_closed = True
        for thread in self._threads:
            thread.join(2)
        self._socket.close()
        self._media.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
