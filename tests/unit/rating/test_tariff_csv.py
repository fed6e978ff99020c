"""A tariff loads whole or not at all, and each bad row says what to do."""

from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rating import tariff_csv
from rating.tariff import Rate
from rating.tariff_csv import COLUMNS, RowProblem, TariffError, read_tariff

HEADER = ",".join(COLUMNS)
ROW = "44,United Kingdom,0.05,0.012345678901,30,6"
RATE = Rate("44", "United Kingdom", Fraction("0.05"), Fraction("0.012345678901"), 30, 6, 2)


def problems_of(text):
    """Read a text that must be refused, and return where its problems are."""
    with pytest.raises(TariffError) as refusal:
        read_tariff(text, "deck")
    assert str(refusal.value).startswith("Tariff deck was not loaded: line ")
    return [(problem.line, problem.column) for problem in refusal.value.problems]


@pytest.mark.parametrize(
    "text",
    [
        f"{HEADER}\n{ROW}\n",
        f"\ufeff{HEADER}\r\n{ROW}\r\n\r\n",
        f"{HEADER}\r{ROW}",
        f"{HEADER}\n{ROW}".replace(",", ";"),
        f"{HEADER}\n{ROW}".replace(",", "\t"),
        (
            "Increment,Initial Increment,Rate per minute,connect-fee,DESTINATION, Prefix \n"
            "6, 30 ,0.012345678901,0.05,United Kingdom,44"
        ),
        (
            '"prefix";"destination";"connect_fee";"rate_per_minute";"initial_increment";"increment"\n'
            '"44";"United Kingdom";"0.05";"0.012345678901";"30";"6"'
        ),
    ],
)
def test_reads_the_shapes_that_tools_export(text):
    """BOM, line ends, delimiters, quotes and the order of columns change nothing."""
    tariff = read_tariff(text, "deck")
    assert tariff.name == "deck"
    assert tariff.rates == (RATE,)
    assert tariff.lookup("+442079460123") == RATE


def test_counts_lines_as_an_editor_does():
    """Empty rows, and a quoted name over two lines before it, do not shift the line of a rate."""
    tariff = read_tariff(f'\n{HEADER}\n\n,,,,,\n44,"a, b",0,1,60,60\n1,US,0,1,60,60\n', "deck")
    assert [(rate.prefix, rate.destination, rate.line) for rate in tariff.rates] == [
        ("44", "a, b", 5),
        ("1", "US", 6),
    ]
    assert problems_of(f'{HEADER}\n44,"a\nb",0,1,60,60\nx,US,0,1,60,60\n') == [
        (2, "destination"),
        (4, "prefix"),
    ]


@pytest.mark.parametrize(
    ("row", "column"),
    [
        ("+44,UK,0,1,60,60", "prefix"),
        ("044,UK,0,1,60,60", "prefix"),
        (",UK,0,1,60,60", "prefix"),
        ("4.42E+11,UK,0,1,60,60", "prefix"),
        ("4420794601234567,UK,0,1,60,60", "prefix"),
        ("44,U\x1b[2JK,0,1,60,60", "destination"),
        (f"44,{'x' * 101},0,1,60,60", "destination"),
        ("44,UK,-0.1,1,60,60", "connect_fee"),
        ("44,UK,,1,60,60", "connect_fee"),
        ("44,UK,0,free,60,60", "rate_per_minute"),
        ("44,UK,0,1e3,60,60", "rate_per_minute"),
        ('44,UK,0,"0,05",60,60', "rate_per_minute"),
        ("44,UK,0,NaN,60,60", "rate_per_minute"),
        ("44,UK,0,1,0,60", "initial_increment"),
        ("44,UK,0,1,60,1.5", "increment"),
        ("44,UK,0,1,60,86401", "increment"),
        ("44,UK,0,1,60,٦", "increment"),
        ("44,UK,0,1,60", ""),
        ("44,UK,0,1,60,60,", ""),
    ],
)
def test_names_the_line_and_the_column_of_a_bad_cell(row, column):
    """Each kind of bad cell is found on its line, under its column."""
    assert problems_of(f"{HEADER}\n1,US,0,1,60,60\n{row}\n") == [(3, column)]


def test_names_every_bad_row_at_once():
    """All problems of all rows come in one error, and the good rows do not load."""
    text = f"{HEADER}\n1,US,0,1,60,60\nx,y,-1,z,0,0\n44,UK,0,1\n1,US,0,2,60,60\n"
    columns = ["prefix", "connect_fee", "rate_per_minute", "initial_increment", "increment"]
    assert problems_of(text) == [*((3, column) for column in columns), (4, ""), (5, "prefix")]


def test_a_prefix_twice_names_both_lines():
    """A duplicate is told with both lines, also where its first row has another fault."""
    with pytest.raises(TariffError) as refusal:
        read_tariff(f"{HEADER}\n44,UK,0,x,60,60\n44,UK,0,1,60,60\n", "deck")
    assert refusal.value.problems[1] == RowProblem(
        3, "prefix", "prefix 44 is on line 2 and on line 3; keep one of them."
    )


@pytest.mark.parametrize(
    ("header", "problems"),
    [
        ("prefix,destination,connect_fee,rate_per_minute,increment", [(1, "initial_increment")]),
        (f"{HEADER},effective_from", [(1, "'effective_from'")]),
        (f"{HEADER},Prefix", [(1, "prefix")]),
        ("prefix," * 1_000_000, [(1, "")]),
    ],
)
def test_a_header_is_whole_and_holds_nothing_else(header, problems):
    """A column that lacks, is not known, or comes twice ends the reading at the header."""
    assert problems_of(f"{header}\nnot,even,looked,at") == problems


@pytest.mark.parametrize("text", ["", "\ufeff", "\n \n,,\n", HEADER, f"{HEADER}\n\n"])
def test_refuses_a_file_without_rates(text):
    """A file with no rates is an error, not an empty tariff."""
    assert problems_of(text) == [(1, "")]


def test_a_broken_quote_names_the_row_that_it_begins_in():
    """An open quote is found where it opens, not at the end of the file that it swallowed."""
    assert problems_of(f'{HEADER}\n1,US,0,1,60,60\n44,"UK,0,1,60,60\n33,FR,0,1,60,60\n') == [(3, "")]


def test_bounds_the_file(monkeypatch):
    """A file with too many characters or rows is refused, and the rows before the bound do not load."""
    monkeypatch.setattr(tariff_csv, "MOST_ROWS", 2)
    assert problems_of(f"{HEADER}\n" + "".join(f"{n},x,0,1,60,60\n" for n in range(1, 9))) == [(4, "")]
    monkeypatch.setattr(tariff_csv, "MOST_CHARACTERS", 10)
    assert problems_of(f"{HEADER}\n{ROW}\n") == [(1, "")]


def test_a_long_list_of_problems_is_shown_in_part_and_kept_whole():
    """The sentence shows 20 problems and the number of the others; `problems` holds them all."""
    with pytest.raises(TariffError, match="and 5 more") as refusal:
        read_tariff(f"{HEADER}\n" + "x,x,0,1,60,60\n" * 25, "deck")
    assert len(refusal.value.problems) == 25


CELLS = st.one_of(st.sampled_from(["44", "1", "0.5", "60", "", '"', "-1", "1e9", "\x00"]), st.text(max_size=8))
ROWS = st.lists(st.lists(CELLS, min_size=5, max_size=7).map(",".join), max_size=6).map("\n".join)


@given(st.one_of(st.text(), ROWS.map(lambda rows: f"{HEADER}\n{rows}"), st.binary().map(lambda b: b.decode("latin-1"))))
@example(f"{HEADER}\n{'x' * 200_000},US,0,1,60,60")
@example(f'{HEADER}\n"1"x,US,0,1,60,60'.replace(",", "\t"))
@example(f"{HEADER}\n\x00,US,0,1,60,60")
def test_any_text_is_a_tariff_or_a_tariff_error(text):
    """No text whatever raises anything but a TariffError, whose sentences are printable."""
    try:
        tariff = read_tariff(text, "deck")
    except TariffError as refusal:
        assert refusal.problems  # noqa: PT017 - either outcome is right
        assert all(problem.line >= 1 and problem.remedy for problem in refusal.problems)  # noqa: PT017
        assert str(refusal).isprintable()  # noqa: PT017
    else:
        assert tariff.rates
