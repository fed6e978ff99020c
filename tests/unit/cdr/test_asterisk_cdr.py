"""Master.csv, as Asterisk writes it and as callers and broken disks make it."""

from collections.abc import Sequence
from io import BytesIO

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.adapters.asterisk_cdr import CdrFileError, CdrProblem, read_master_csv
from gateway.core.reconcile import Cdr

from .rows import ANSWER_SECONDS, row

# Written by Asterisk 22.10, the caller ID by a caller.
SEEN = b'''\
"acme","12125550101","7001","phones","""Acme"" <12125550101>","PJSIP/acme-00000002","PJSIP/trunk-00000003","Dial",\
"PJSIP/18005551212@trunk,60,iL(10000)","2026-11-22 23:24:50","2026-11-22 23:24:50","2026-11-22 23:24:53",2,2,\
"ANSWERED","DOCUMENTATION","1795389890.2",""
"open","x"",""y
""acme"",""1","18005551212","lab-catch-all",""""" <x"",""y
""acme"",""1>","PJSIP/open-00000005","","Hangup","21","2026-11-22 23:24:53",,"2026-11-22 23:24:53",0,0,"NO ANSWER",\
"DOCUMENTATION","1795389893.5",""
"acme","12125550101","7006","phones","""Acme"" <12125550101>","PJSIP/acme-0000000a","PJSIP/trunk-0000000b","Dial",\
"PJSIP/18005551212@trunk,60,iL(10000)","2026-11-22 23:24:59",,"2026-11-22 23:24:59",0,0,"BUSY","DOCUMENTATION",\
"1795389899.10",""
'''
# A text that a caller may send: anything but NUL.
hostile = st.text(st.sampled_from('",\n\r1a\u00fc\udcff'), max_size=40) | st.text(
    st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=60
)


def read(data: bytes) -> tuple[list[Cdr], list[CdrProblem]]:
    found = list(read_master_csv(BytesIO(data), "Master.csv"))
    return [each for each in found if isinstance(each, Cdr)], [each for each in found if isinstance(each, CdrProblem)]


def lines(problems: Sequence[CdrProblem]) -> list[int]:
    return [int(problem.where.rpartition(":")[2]) for problem in problems]


def test_rows_of_a_real_asterisk() -> None:
    """A time that is not known is an empty cell, and a caller's line breaks end no row."""
    cdrs, problems = read(SEEN)
    assert not problems
    assert [cdr.where for cdr in cdrs] == ["Master.csv:1", "Master.csv:2", "Master.csv:5"]
    assert [cdr.uniqueid for cdr in cdrs] == ["1795389890.2", "1795389893.5", "1795389899.10"]
    assert [cdr.is_answered for cdr in cdrs] == [True, False, False]
    assert cdrs[0].answer_seconds == ANSWER_SECONDS + 3
    assert (cdrs[0].billsec, cdrs[0].dstchannel) == (2, "PJSIP/trunk-00000003")


@pytest.mark.parametrize("columns", [17, 18])
def test_the_user_field_may_be_there_or_not(columns: int) -> None:
    """loguserfield=no leaves the last column out; newcdrcolumns=yes adds three."""
    assert [cdr.uniqueid for cdr in read(row(columns))[0]] == ["1795389887.0"]
    longer = row(columns)[:-1] + b',"peer","1795389887.0",7\n'
    assert [cdr.uniqueid for cdr in read(longer)[0]] == ["1795389887.0"]


@pytest.mark.parametrize("data", [row(16), row(17, uniqueid="a user field"), row(16)[:-1] + b',"","1.2",7\n'])
def test_a_file_without_uniqueids_is_refused_in_one_sentence(data: bytes) -> None:
    """It says loguniqueid=yes, however many rows there are, and whatever stands in the column's place."""
    with pytest.raises(CdrFileError, match=r"Master\.csv has no uniqueid column.*loguniqueid=yes.*cdr\.conf"):
        read(data * 3)


def test_rows_of_before_uniqueids_were_logged_are_one_problem() -> None:
    """Their first line and their number; the rows after them are read."""
    cdrs, problems = read(row(16) * 3 + row())
    assert len(cdrs) == 1
    assert lines(problems) == [1]
    assert "3 rows" in problems[0].sentence


def test_a_file_of_another_kind_is_refused_in_one_sentence() -> None:
    """Not a problem for each of its rows."""
    with pytest.raises(CdrFileError, match=r"No row of Master\.csv is as cdr_csv writes it"):
        read(b"calldate,src,dst\n1,2,3\n")


def test_an_empty_file_has_no_rows() -> None:
    """A PBX that made no call wrote none."""
    assert read(b"") == ([], [])
    assert read(b"\n\r\n") == ([], [])


@pytest.mark.parametrize(
    "broken",
    [
        b'"acme","121\n',  # a disk that was full
        row()[:-1].replace(b",2,2,", b",2,x,") + b"\n",
        row(answer="2026-02-30 10:00:00"),
        row().replace(b'"acme"', b"acme"),
        row(clid='x" y').replace(b'""', b'"'),
        b"\xff\xfe\0\n",
        b'"' + b"a" * 100_000 + b'"\n',
        b"a" * 100_000 + b"\n",
    ],
)
def test_a_broken_row_is_one_problem_and_the_rest_goes_on(broken: bytes) -> None:
    """It is told with its line; the rows before and after it are read, a caller's line breaks among them."""
    two_lines = row(clid='"\n",')
    cdrs, problems = read(two_lines + broken + row() + two_lines)
    assert lines(problems) == [3]
    assert [cdr.where for cdr in cdrs] == ["Master.csv:1", "Master.csv:4", "Master.csv:5"]


def test_a_row_without_its_line_break_is_read_where_it_is_whole() -> None:
    """The last row of a file may be under the pen; half of it is a problem."""
    assert len(read(row()[:-1])[0]) == 1
    cdrs, problems = read(row() + row()[:-30])
    assert len(cdrs) == 1
    assert lines(problems) == [2]


def test_bytes_that_are_no_utf8_are_shown_as_escapes() -> None:
    """A name in Latin-1 spoils no row."""
    (cdr,), problems = read(row(dst="caf\udce9"))
    assert not problems
    assert cdr.dst == "caf\\xe9"


@given(st.lists(st.tuples(hostile, hostile, hostile), min_size=1, max_size=5))
def test_no_text_of_a_caller_spoils_a_row(texts: list[tuple[str, str, str]]) -> None:
    """Source, destination and caller ID may hold anything: each row is read, with its own figures."""
    data = b"".join(
        row(src=src, dst=dst, clid=clid, uniqueid=f"100.{number}", billsec=number)
        for number, (src, dst, clid) in enumerate(texts)
    )
    cdrs, problems = read(data)
    assert not problems
    assert [(cdr.uniqueid, cdr.billsec) for cdr in cdrs] == [(f"100.{n}", n) for n in range(len(texts))]


@given(st.binary(max_size=300), st.sampled_from([b"", b"\n", b'"', b'"\n', b'",']))
@example(b'"' * 21, b"\n")
def test_no_bytes_crash_the_reading(data: bytes, end: bytes) -> None:
    """Whatever a file holds, each line of it is in a row or named, and a whole row after a line break is read."""
    cdrs, problems = read(row() + data + end + b"\n" + row(uniqueid="200.1"))
    assert cdrs[0].uniqueid == "1795389887.0"
    assert cdrs[-1].uniqueid == "200.1"
    assert all(line >= 2 for line in lines(problems))


FORGED = row(uniqueid="666.6", billsec=9999).decode().replace("\n", "")


@given(
    st.lists(hostile | st.just("\n" + FORGED + "\n") | st.just('",' + FORGED), min_size=3, max_size=3),
    st.integers(0, 400),
    st.integers(0, 400),
)
@example(["\n" + FORGED + "\n"] * 3, 1, 5)
def test_a_caller_makes_up_no_row_even_where_a_row_is_broken(texts: list[str], start: int, length: int) -> None:
    """With a hole cut anywhere into a row that a caller wrote into, no answered call comes out but those there were."""
    src, dst, clid = texts
    written = row(src=src, dst=dst, clid=clid, uniqueid="100.7", disposition="NO ANSWER")
    holed = written[:start] + written[start + length :]
    cdrs, _ = read(row(uniqueid="100.1") + holed + row(uniqueid="200.1"))
    assert {cdr.uniqueid for cdr in cdrs if cdr.is_answered} <= {"100.1", "200.1"}
