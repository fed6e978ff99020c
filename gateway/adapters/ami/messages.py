"""Bytes of a manager connection to messages. Nothing here believes what it reads.

Framing is done on bytes and decoding after it, so a UTF-8 character that TCP cut in two is never harmed.
"""

from dataclasses import dataclass

GREETING = b"Asterisk Call Manager/"
END = b"\r\n\r\n"
LINE_END = b"\r\n"
# A DialBegin of 22.10 has about 1,200 bytes, a Status item with long application data about 9,000.
MAX_MESSAGE_BYTES = 65_536
MAX_GREETING_BYTES = 256


class LinkFault(Exception):  # noqa: N818 - says what is wrong with the connection, which must be made anew
    """The stream cannot be a manager's, or holds a message beyond all bounds."""


@dataclass(slots=True)
class Message:
    """One message, its headers as they came. ``headers`` keeps the last of repeated ones, ``pairs`` all."""

    headers: dict[str, str]
    pairs: list[list[str]]

    @property
    def has_repeats(self) -> bool:
        """Some header stands in it more than once."""
        return len(self.headers) != len(self.pairs)


class Framer:
    """Cuts a stream into messages at CRLF CRLF; keeps count of where in the stream it is.

    ``offset`` is where the first byte that was not yet given out stands in the stream.
    """

    def __init__(self) -> None:
        self.offset = 0
        self.greeting = ""
        self._rest = b""

    @property
    def is_empty(self) -> bool:
        """Nothing of an unfinished message is held."""
        return not self._rest

    def push(self, data: bytes) -> list[bytes]:
        """Take in a chunk, give out the messages that it completed, without their end. Raises LinkFault.

        The caller moves ``offset`` on by ``len(message) + len(END)`` for each message that it takes.
        """
        if self._rest:
            data = self._rest + data
        if not self.greeting:
            data = self._greet(data)
            if not self.greeting:
                return []
        messages = data.split(END)
        self._rest = messages.pop()
        if len(self._rest) > MAX_MESSAGE_BYTES:
            raise LinkFault(f"a message without an end ({len(self._rest)} bytes)")
        return messages

    def drop_line_ends(self) -> bool:
        """Forget an unfinished message that is nothing but line ends: no message begins so. True: it was one.

        Text in the last header of an event leaves them; kept, they would spoil the next message, be it our own reply.
        """
        if not self._rest or self._rest.strip(LINE_END):
            return False
        self.offset += len(self._rest)
        self._rest = b""
        return True

    def _greet(self, data: bytes) -> bytes:
        line, found, rest = data.partition(b"\r\n")
        if not (line.startswith(GREETING) if found else GREETING.startswith(line[: len(GREETING)])):
            raise LinkFault("what answers at this address is no Asterisk manager: check host and port")
        if not found:
            if len(line) > MAX_GREETING_BYTES:
                raise LinkFault("a greeting without an end")
            self._rest = data
            return b""
        self._rest = b""
        self.greeting = line.decode("ascii", "replace")
        self.offset = len(line) + 2
        return rest


def parse(frame: bytes) -> Message | None:
    """One message; None when a line of it is no header (then it is broken, see ``shapes``)."""
    pairs = [line.split(": ", 1) for line in frame.decode("utf-8", "replace").split("\r\n")]
    try:
        return Message(dict(pairs), pairs)  # a line without ": " raises, which is the check
    except ValueError:
        return None
