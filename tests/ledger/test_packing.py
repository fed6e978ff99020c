"""Commands as bytes."""

from hiredis import Reader, pack_command
from hypothesis import given
from hypothesis import strategies as st

from gateway.adapters.redis import wire
from gateway.adapters.redis.packing import Packed, pack
from rating import Ladder

WORDS = st.lists(st.one_of(st.text(max_size=20), st.binary(max_size=20), st.integers(-(2**53), 2**53)), max_size=8)


@given(st.lists(WORDS, min_size=1, max_size=4), st.text(min_size=1))
def test_words_packed_before_are_sent_as_if_they_were_not(rows: list[list[str | bytes | int]], name: str) -> None:
    """Whichever words of a command's tail are packed before, the server reads the same command."""
    own, *tail = rows
    flat = (name, *own, *(word for row in tail for word in row))
    command = pack((name, *own, *(Packed.of(*row) for row in tail)))
    assert command == pack_command(flat)
    reader = Reader()
    reader.feed(command)
    assert len(reader.gets()) == len(flat)


def test_ladders_that_are_alike_are_packed_once() -> None:
    """Equal ladders, of two calls, are the same bytes; another fee is another ladder."""
    one, same, other = (Ladder(fee, ((60, 100), (120, 200))) for fee in (7, 7, 8))
    assert wire.ladder_words(one) is wire.ladder_words(same)
    assert wire.ladder_words(one) == b"$1\r\n7\r\n$2\r\n60\r\n$3\r\n100\r\n$3\r\n120\r\n$3\r\n200\r\n"
    assert wire.ladder_words(other) != wire.ladder_words(one)
