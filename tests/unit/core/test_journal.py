"""Entries of the journal: from the stream, to a line of the archive, and back."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.journal import ACCOUNTS, Entry, read_entry, read_line, to_line

STREAM = {
    "n": "7", "type": "settle", "call": "pbx1/1.2/ab", "step": "3", "lot": "2", "source": "0", "credit": "5",
    "held": "-12", "debt": "0", "revenue": "7", "expired": "0", "adjustment": "0", "pool": "", "included": "0",
    "balance": "93", "held_after": "0", "total": "7", "at_ms": "1700000000000", "note": "42",
}  # fmt: skip
ENTRY = Entry(
    n=7, type="settle", entry_id="1700000000000-0", call="pbx1/1.2/ab", step=3, lot=2, credit=5, held=-12, revenue=7,
    balance=93, total=7, at_ms=1_700_000_000_000, note="42",
)  # fmt: skip

whole = st.integers(-(2**53) + 1, 2**53 - 1)
entries = st.builds(
    Entry,
    n=st.integers(1, 2**53 - 1),
    type=st.text(min_size=1),
    entry_id=st.text(),
    call=st.text(),
    step=st.none() | whole,
    lot=st.none() | whole,
    **dict.fromkeys((*ACCOUNTS, "included", "balance", "held_after", "at_ms"), whole),
    pool=st.text(),
    total=st.none() | whole,
    note=st.text(),
    more=st.just(()) | st.just((("tax", "19"), ("rate", 3), ("gone", None))),
)


def test_an_entry_of_the_stream_is_read_with_whole_numbers() -> None:
    """Numbers come as integers, the lot as its number."""
    assert read_entry(STREAM, "1700000000000-0") == ENTRY


def test_what_the_stream_leaves_empty_is_none() -> None:
    """No step, no lot and no total are None, and never 0: lot 0 is the credit limit."""
    entry = read_entry({**STREAM, "step": "", "lot": "", "total": ""}, "1-0")
    assert (entry.step, entry.lot, entry.total) == (None, None, None)
    assert read_entry({**STREAM, "lot": "0"}, "1-0").lot == 0


def test_fields_of_a_later_version_are_kept() -> None:
    """What this version does not know goes into the archive as it came."""
    entry = read_entry({**STREAM, "tax": "19"}, "1-0")
    assert json.loads(to_line(entry))["tax"] == "19"
    assert read_line(to_line(entry)) == entry


def test_a_number_that_an_older_version_kept_as_a_text_is_read() -> None:
    """It did not know the field, and kept what the stream said."""
    assert read_line('{"n":1,"type":"open","lot":"3","credit":"-5","total":""}') == Entry(1, "open", lot=3, credit=-5)
    with pytest.raises(ValueError, match=r"credit .* is no whole number"):
        read_line('{"n":1,"type":"open","credit":"five"}')


def test_fields_that_an_older_version_did_not_write_have_defaults() -> None:
    """A number and a type are enough."""
    assert read_line('{"n":1,"type":"open"}') == read_entry({"n": "1", "type": "open"}, "") == Entry(1, "open")


def test_a_line_is_one_line_of_plain_ascii_in_a_fixed_order() -> None:
    """Whatever a note holds, a line ends nowhere but at its end."""
    line = to_line(Entry(1, "topup", "1-0", "id", note="a\nb\u2028\ud800é", source=-5, credit=5))
    assert line.isascii()
    assert len(line.splitlines()) == 1
    assert line.startswith('{"n":1,"type":"topup","entry_id":"1-0","call":"id","step":null,"lot":null,"source":-5,')


@given(entries)
def test_a_line_gives_its_entry_back(entry: Entry) -> None:
    """Writing and reading loses nothing, and the same entry is always the same line."""
    assert read_line(to_line(entry)) == entry
    assert to_line(read_line(to_line(entry).encode())) == to_line(entry)


@pytest.mark.parametrize(
    ("field", "text"),
    [("n", "0"), ("n", ""), ("type", ""), ("credit", ""), ("held", "1.5"), ("held", "1_0"), ("debt", " 1"),
     ("balance", "9" * 17), ("revenue", "\uff11"), ("lot", "x")],
)  # fmt: skip
def test_what_is_no_entry_of_the_stream_is_refused(field: str, text: str) -> None:
    """A number that is none is an error, never a guess."""
    with pytest.raises(ValueError, match=r"1-0"):
        read_entry({**STREAM, field: text}, "1-0")


@pytest.mark.parametrize(
    "line",
    ["", "{", "[]", "7", "\0\0", b"\xff", '{"n":1}', '{"n":0,"type":"open"}', '{"n":true,"type":"open"}',
     '{"n":1,"type":7}', '{"n":1,"type":"open","credit":1.0}', '{"n":1,"type":"open","credit":null}',
     '{"n":1,"type":"open","later":[]}', "[" * 100_000],
)  # fmt: skip
def test_what_is_no_line_of_the_archive_is_refused(line: str | bytes) -> None:
    """A torn or foreign line is an error of one short sentence."""
    with pytest.raises(ValueError, match=r"is no|is neither") as caught:
        read_line(line)
    assert len(str(caught.value)) < 200
