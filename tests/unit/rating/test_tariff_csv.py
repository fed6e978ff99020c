"""A tariff loads whole or not at all, and each bad row says what to do."""

from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rating import tariff_csv
from rating.calendar import Calendar
from rating.call_classes import CallClass
from rating.rate import Rate, RateStep
from rating.tariff_csv import COLUMNS, OPTIONAL_COLUMNS, RowProblem, TariffError, read_tariff

HEADER = ",".join(COLUMNS)
ROW = "44,United Kingdom,0.05,0.012345678901,30,6"
FULL_HEADER = ",".join((*COLUMNS, *OPTIONAL_COLUMNS[:8]))
TIMED_HEADER = ",".join((*COLUMNS, *OPTIONAL_COLUMNS[8:]))
RATE = Rate("44", "United Kingdom", Fraction("0.05"), Fraction("0.012345678901"), 30, 6, 2, tariff="deck")


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


def test_reads_the_optional_columns():
    """Steps, charges, times, charge unit and class fill the rate; empty cells say nothing."""
    row = "44,UK,0,1,60,60,60:0.1/1  180:.05/6,0.10,5,End,3600,5,0.0001,Shared cost"
    tariff = read_tariff(f"{FULL_HEADER}\n{row}\n1,US,0,1,60,60,,,,free,,,,\n", "deck")
    assert tariff.rates[0] == Rate(
        "44",
        "UK",
        Fraction(0),
        Fraction(1),
        60,
        60,
        2,
        steps=(RateStep(60, Fraction("0.1"), 1), RateStep(180, Fraction("0.05"), 6)),
        minimum_charge=Fraction("0.1"),
        maximum_charge=Fraction(5),
        ends_at_maximum=True,
        maximum_seconds=3600,
        free_seconds=5,
        charge_unit_micros=100,
        call_class=CallClass.SHARED_COST,
        tariff="deck",
    )
    assert tariff.rates[1] == Rate("1", "US", Fraction(0), Fraction(1), 60, 60, 3, tariff="deck")


@pytest.mark.parametrize(
    ("cells", "column"),
    [
        ("60:0.1,,,,,,,", "steps"),
        ("60:0.1/0,,,,,,,", "steps"),
        ("0:0.1/1,,,,,,,", "steps"),
        ("60:-1/1,,,,,,,", "steps"),
        ("60:1/1 60:2/1,,,,,,,", "steps"),
        (" ".join(f"{n}:1/1" for n in range(1, 18)) + ",,,,,,,", "steps"),
        (",much,,,,,,", "minimum_charge"),
        (",,much,free,,,,", "maximum_charge"),
        (",,5,,,,,", "at_maximum"),
        (",,5,stop,,,,", "at_maximum"),
        (",6,5,end,,,,", "maximum_charge"),
        (",,0.5,end,,,,", "maximum_charge"),
        (",,,,0,,,", "maximum_seconds"),
        (",,,,an hour,,,", "maximum_seconds"),
        (",,,,,604801,,", "free_seconds"),
        (",,,,,,0,", "charge_unit"),
        (",,,,,,0.0000001,", "charge_unit"),
        (",,,,,,1001,", "charge_unit"),
        (",,,,,,,internal", "class"),
        (",,,,,,,emergency", "class"),
        (",,,,,,,cheap", "class"),
    ],
)
def test_names_a_bad_optional_cell(cells, column):
    """A cell that cannot be, and one that contradicts the rest of its row, are found under their column."""
    assert problems_of(f"{FULL_HEADER}\n1,US,0,1,60,60,,,,,,,,\n44,UK,0,1,60,60,{cells}\n") == [(3, column)]


def test_reads_a_decimal_comma_on_request_only():
    """Asked for, every price has a comma, and a point is an error; else it is the other way round."""
    row = "44;UK;0,05;0,012345678901;30;6;60:0,1/1;0,1;;;;;0,01;"
    text = f"{FULL_HEADER}\n{row.replace(',', '@')}\n".replace(",", ";").replace("@", ",")
    (rate,) = read_tariff(text, "deck", decimal_comma=True).rates
    assert (rate.connect_fee, rate.per_minute) == (Fraction("0.05"), Fraction("0.012345678901"))
    assert (rate.steps[0].per_minute, rate.minimum_charge, rate.charge_unit_micros) == (
        Fraction("0.1"),
        Fraction("0.1"),
        10_000,
    )
    columns = ["connect_fee", "rate_per_minute", "steps", "minimum_charge", "charge_unit"]
    assert problems_of(text) == [(2, column) for column in columns]
    with pytest.raises(TariffError, match="has a point") as refusal:
        read_tariff(f"{HEADER}\n44,UK,0,1.000,60,60\n", "deck", decimal_comma=True)
    assert len(refusal.value.problems) == 1


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
        3, "prefix", "prefix 44 is on line 2 and on line 3 for the same times; keep one of them."
    )


@pytest.mark.parametrize(
    ("header", "problems"),
    [
        ("prefix,destination,connect_fee,rate_per_minute,increment", [(1, "initial_increment")]),
        (f"{HEADER},effective", [(1, "'effective'")]),
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


CALENDAR = Calendar.parse("Europe/Paris", {"peak": ["Mon-Fri 08:00-18:00"], "weekend": ["Sat-Sun", "holidays"]})


def test_reads_when_a_row_holds():
    """Bands and dates fill the rate; dates without an offset are in the calendar's zone."""
    rows = "44,UK,0,1,60,60,peak,2027-01-01,2027-07-01T12:00Z\n44,UK,0,1,60,60,,,\n"
    tariff = read_tariff(f"{TIMED_HEADER}\n{rows}", "deck", calendar=CALENDAR)
    assert tariff.calendar is CALENDAR
    first, second = tariff.rates
    assert (first.band, first.effective_from_ms, first.effective_to_ms) == (
        "peak",
        1_798_758_000_000,
        1_814_443_200_000,
    )
    assert second.holds_always


@pytest.mark.parametrize(
    ("cells", "problem"),
    [
        ("night,,", RowProblem(3, "band", "'night' is no band of the tariff's calendar; write peak, weekend")),
        (",1.1.2027,", RowProblem(3, "effective_from", "'1.1.2027' is no date")),
        (",,soon", RowProblem(3, "effective_to", "'soon' is no date")),
        (",2027-01-02,2027-01-02", RowProblem(3, "effective_to", "The period ends before it begins")),
        ("peak,2027-01-02,", RowProblem(3, "prefix", "prefix 44 is on line 2 and on line 3 for the same times")),
        ("peak,,2027-01-01T00:01", RowProblem(3, "prefix", "prefix 44 is on line 2 and on line 3")),
    ],
)
def test_names_a_bad_cell_of_when_a_row_holds(cells, problem):
    """A band that the calendar lacks, a date that is none, and rows that hold at once are told."""
    text = f"{TIMED_HEADER}\n44,UK,0,1,60,60,peak,2027-01-01,2028-01-01\n44,UK,0,1,60,60,{cells}\n"
    with pytest.raises(TariffError) as refusal:
        read_tariff(text, "deck", calendar=CALENDAR)
    (found,) = refusal.value.problems
    assert (found.line, found.column) == (problem.line, problem.column)
    assert found.remedy.startswith(problem.remedy)


def test_without_a_calendar_there_are_no_bands_and_dates_have_an_offset():
    """Neither a band nor a time zone is guessed."""
    row = "44,UK,0,1,60,60"
    assert problems_of(f"{TIMED_HEADER}\n{row},peak,2027-01-01,\n") == [(2, "band"), (2, "effective_from")]
    assert read_tariff(f"{TIMED_HEADER}\n{row},,2027-01-01T00:00+01:00,\n", "deck").lookup("+441", 0) is None


def test_rows_with_a_wrong_time_are_not_held_against_others():
    """A period that cannot be read is one problem, not also a duplicate of all other periods."""
    rows = "44,UK,0,1,60,60,,then,\n44,UK,0,1,60,60,,,2027-01-01\n"
    assert problems_of(f"{TIMED_HEADER}\n{rows.replace('2027-01-01', '2027-01-01T00:00Z')}") == [(2, "effective_from")]


CELLS = st.one_of(
    st.sampled_from(["44", "1", "0.5", "60", "", '"', "-1", "1e9", "\x00", "peak", "2027-01-01"]), st.text(max_size=8)
)
ROWS = st.lists(st.lists(CELLS, min_size=5, max_size=9).map(",".join), max_size=6).map("\n".join)
HEADERS = st.sampled_from(
    [
        HEADER,
        FULL_HEADER,
        TIMED_HEADER,
        "Code,Destination,Connection Cost (USD),Grace Time,Cost / Min (USD),Initial Increment,Increment,Status",
        "Prefix,Destination,Sell price,Initial block,Billing block,Connection charge",
        "dialprefix,rateinitial,initblock,billingblock,chargea,timechargea,billingblocka",
    ]
)


@given(
    st.one_of(st.text(), st.tuples(HEADERS, ROWS).map("\n".join), st.binary().map(lambda b: b.decode("latin-1"))),
    st.booleans(),
)
@example(text=f"{HEADER}\n{'x' * 200_000},US,0,1,60,60", decimal_comma=False)
@example(text=f'{HEADER}\n"1"x,US,0,1,60,60'.replace(",", "\t"), decimal_comma=False)
@example(text=f"{HEADER}\n\x00,US,0,1,60,60", decimal_comma=False)
def test_any_text_is_a_tariff_or_a_tariff_error(text, decimal_comma):
    """No text whatever raises anything but a TariffError, whose sentences are printable."""
    try:
        tariff = read_tariff(text, "deck", decimal_comma=decimal_comma, calendar=CALENDAR)
    except TariffError as refusal:
        assert refusal.problems  # noqa: PT017 - either outcome is right
        assert all(problem.line >= 1 and problem.remedy for problem in refusal.problems)  # noqa: PT017
        assert str(refusal).isprintable()  # noqa: PT017
    else:
        assert tariff.rates
