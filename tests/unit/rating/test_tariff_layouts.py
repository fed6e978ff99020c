"""What A2Billing, ASTPP and MagnusBilling export loads as it is, and costs what it costs there."""

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rating import charge_micros, parse_amount, read_tariff
from rating.money import MICROS
from rating.tariff_csv import TariffError

ASTPP = (
    "Code,Destination,Country,Connection Cost(USD),Grace Time,Cost / Min(USD),Initial Increment,Increment,"
    "Rate Group,Reseller,Created Date,Modified Date,Status"
)
ASTPP_TERMINATION = (
    "Code,Destination,Connection Cost (USD),Grace Time,Cost / Min (USD),Initial Increment,Increment,Priority,Strip,"
    "Prepend,Trunk,Created Date,Modified Date,Status"
)
ASTPP_SAMPLE = "Code,Destination,Connection Cost (USD),Grace Time,Cost / Min (USD),Initial Increment,Increment"
MAGNUS_SPANISH = 'Prefijo;Destino;"Precio de venta";"Bloque inicial";"Bloque de cobro";Plan;"Costo de conexión"'
MAGNUS_PORTUGUESE = 'Prefixo;Destino;"Preço de venda";"Bloco mínimo";"Bloco de tarifação";Plano;"Taxa de conexão"'
MAGNUS = "Prefix;Destination;Sell price;Initial block;Billing block;Trunk groups;Plan"
A2BILLING = "dialprefix,destination,rateinitial,initblock,billingblock,connectcharge"
PROGRESSIVE = (
    f"{A2BILLING},chargea,timechargea,billingblocka,chargeb,timechargeb,billingblockb,chargec,timechargec,billingblockc"
)


def rate_of(text):
    """Read the only rate of a tariff."""
    (rate,) = read_tariff(text, "export").rates
    return rate


def problems_of(text):
    """Read a text that must be refused, and return line and column of its problems."""
    with pytest.raises(TariffError) as refusal:
        read_tariff(text, "export")
    return [(problem.line, problem.column) for problem in refusal.value.problems]


@pytest.mark.parametrize(
    "text",
    [
        f"\ufeff{ASTPP}\n44,UK,--,0.05,0,0.6,30,6,default,Admin,2024-01-01,2024-01-01,Active\n",
        f"{ASTPP_TERMINATION}\n44,UK,0.05,0,0.6,30,6,0,,,trunk,2024-01-01,2024-01-01,Active\n",
        f"{ASTPP_SAMPLE}\n44,UK,0.05,0,0.6,30,6\n",
        f'{MAGNUS};"Connection charge"\n44;UK;0.600000;30;6;trunks;retail;0.050000\n',
        f"{MAGNUS_SPANISH}\n44;UK;0.6;30;6;retail;0.05\n",
        f"{MAGNUS_PORTUGUESE}\n44;UK;0.6;30;6;retail;0.05\n",
        f'{A2BILLING}\n"44","UK","0.60000","30","6","0.05000"\n',
        f"id,{A2BILLING},buyrate,starttime,endtime,minimal_cost\n7,44,UK,0.60,30,6,0.05,0.1,0,10079,0.00\n",
        f"{A2BILLING},disconnectcharge,chargea,timechargea\n44,UK,0.60,30,6,0.05,0.00000,0.00000,0\n",
    ],
)
def test_recognises_the_exports_by_their_headers(text):
    """A plain row of each system's export is the same rate: 30/6 at 0.60, fee 0.05."""
    rate = rate_of(text)
    assert (rate.prefix, rate.destination, rate.line) == ("44", "UK", 2)
    assert [charge_micros(rate.schedule, seconds) for seconds in (1, 30, 31, 37)] == [
        350_000,
        350_000,
        410_000,
        470_000,
    ]


SECONDS = st.integers(1, 400)
BLOCKS = st.integers(0, 90)


def rounded(price):
    """Round an exact price up to the micro-unit."""
    return math.ceil(price * MICROS)


@given(BLOCKS, BLOCKS, SECONDS, st.sampled_from(["a2billing", "magnus"]))
def test_blocks_are_those_of_a2billing_and_magnusbilling(initial, block, seconds, system):
    """Beyond the first block a call is billed in multiples of the other, counted from its beginning."""
    header, delimiter = (MAGNUS, ";") if system == "magnus" else (A2BILLING, ",")
    row = ["44", "UK", "0.07", str(initial), str(block), *(["", ""] if system == "magnus" else ["0"])]
    rate = rate_of(f"{header}\n{delimiter.join(row)}\n")
    billed = max(seconds, initial)  # CalcAgi.php and Class.RateEngine.php, calculateCost
    if block > 0 and billed > initial:
        billed += -billed % block
    assert charge_micros(rate.schedule, seconds) == rounded(Fraction(billed, 60) * Fraction("0.07"))


@given(st.integers(0, 60), BLOCKS, BLOCKS, SECONDS)
def test_grace_and_increments_are_those_of_astpp(grace, initial, increment, seconds):
    """Grace seconds cost the fee alone; then the first block is billed, and then the others."""
    rate = rate_of(f"{ASTPP}\n44,UK,--,0.05,{grace},0.07,{initial},{increment},default,Admin,,,Active\n")
    price, left = Fraction("0.05"), seconds - grace  # astpp.cdr.php, calc_cost
    if left > 0:
        price += Fraction("0.07") / 60 * initial
        left -= initial
        if left > 0:
            step = max(1, increment)
            price += -(-left // step) * step * Fraction("0.07") / 60
    assert charge_micros(rate.schedule, seconds) == rounded(price)


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(0, 20)), max_size=3), st.integers(0, 4), SECONDS)
def test_cycles_are_those_of_a2billing(cycles, initial_blocks, seconds):
    """A progressive rate charges each cycle in its blocks, and then the initial rate."""
    cells, first_block = [], 0
    for number, (blocks, block) in enumerate(cycles):
        first_block = first_block or block or 1
        cells += [f"0.{number + 2}", str(blocks * max(1, block)), str(block)]
    initial = min(initial_blocks, cycles[0][0]) * first_block if cycles else 0
    cells += ["0", "0", "0"] * (3 - len(cycles))
    rate = rate_of(f"{PROGRESSIVE}\n44,UK,0.07,{initial},6,0.01,{','.join(cells)}\n")
    price, left = Fraction("0.01"), max(seconds, initial)  # Class.RateEngine.php, rate_engine_calculcost
    for number, (blocks, block) in enumerate(cycles):
        used = min(left, blocks * max(1, block))
        left -= used
        price += (used + -used % max(1, block)) * Fraction(number + 2, 10) / 60
    price += (left + -left % 6) * Fraction("0.07") / 60
    assert charge_micros(rate.schedule, seconds) == rounded(price)


def test_takes_over_the_minimal_cost():
    """A2Billing's minimal cost is the minimum charge."""
    rate = rate_of(f"{A2BILLING},minimal_cost\n44,UK,0.6,0,0,0,0.25\n")
    assert charge_micros(rate.schedule, 1) == parse_amount("0.25")


def test_a_first_block_within_the_first_cycles_block_changes_nothing():
    """A2Billing rounds to the cycle's block in any case; a first block that ends within it is of no effect."""
    rate = rate_of(f"{PROGRESSIVE}\n44,UK,0.07,7,1,0,0.6,60,30,0,0,0,0,0,0\n")
    assert [charge_micros(rate.schedule, seconds) for seconds in (1, 30, 31)] == [300_000, 300_000, 600_000]


def test_leaves_out_what_is_not_in_effect():
    """Rows that are inactive in ASTPP and MagnusBilling do not load, and do not clash with those that are."""
    rows = "44,UK,--,0,0,9,1,1,default,Admin,,,Inactive\n44,UK,--,0,0,0.6,1,1,default,Admin,,,Active\n"
    assert rate_of(f"{ASTPP}\n{rows}").line == 3
    assert rate_of(f"{MAGNUS};Status\n44;UK;9;1;1;;;0\n44;UK;0.6;1;1;;;1\n").line == 3


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        (f"{ASTPP}\nx,UK,--,0,0,0.6,1,1,default,Admin,,,Active\n", [(2, "Code")]),
        (f"{ASTPP}\n44,UK,--,0,5,dear,1,1,default,Admin,,,Active\n", [(2, "Cost / Min(USD)")]),
        (f"{ASTPP}\n44,UK,--,0,5,1.,1,1,default,Admin,,,Active\n", [(2, "Cost / Min(USD)")]),
        (f"{ASTPP}\n44,UK,--,0,5,0'6,1,1,default,Admin,,,Active\n", [(2, "Cost / Min(USD)")]),
        (f'{ASTPP}\n44,UK,--,0,5,"0,6",1,1,default,Admin,,,Active\n', [(2, "Cost / Min(USD)")]),
        (f"{ASTPP}\n44,UK,--,0,long,0.6,1,1,default,Admin,,,Active\n", [(2, "Grace Time")]),
        (f"{ASTPP}\n44,UK,--,0,86401,0.6,1,1,default,Admin,,,Active\n", [(2, "Grace Time")]),
        (f"{ASTPP}\n44,UK,--,0,0,0.6,1,1,default,Admin,,,activo\n", [(2, "Status")]),
        (f"{ASTPP},Colour\n44,UK,--,0,0,0.6,1,1,default,Admin,,,Active,red\n", [(1, "'Colour'")]),
        (
            "Code,Destination,Cost / Min,Initial Increment,Increment\n44,UK,1,1,1\n",
            [(1, "connection_cost"), (1, "grace_time")],
        ),
        (f"{MAGNUS}\n44;UK;0,6;30;60;;\n", [(2, "Sell price")]),
        (f"{MAGNUS}\n44;UK;0.6;;one;;\n", [(2, "Billing block")]),
        (f"{MAGNUS}\n44;UK;0.6;1;1;;\n44;UK;0.6;1;1;;\n", [(3, "Prefix")]),
        ('"UK","44","0.60000"\n', [(1, "")]),
        ("destination,dialprefix,rateinitial\nUK,44,0.6\n", [(1, "initblock"), (1, "billingblock")]),
        (f"{A2BILLING},dest_name\n44,UK,0.6,0,0,0,UK\n", [(1, "dest_name")]),
        (f"{A2BILLING},startdate\n44,UK,0.6,0,0,0,2020-01-01\n", [(1, "'startdate'")]),
        (f"{A2BILLING},disconnectcharge\n44,UK,0.6,0,0,0,0.01\n", [(2, "disconnectcharge")]),
        (f"{A2BILLING},stepchargeb\n44,UK,0.6,0,0,0,0.01\n", [(2, "stepchargeb")]),
        (f"{A2BILLING},starttime\n44,UK,0.6,0,0,0,480\n", [(2, "starttime")]),
        (f"{A2BILLING},endtime\n44,UK,0.6,0,0,0,480\n", [(2, "endtime")]),
        (f"{A2BILLING},minimal_cost\n44,UK,0.6,0,0,0,some\n", [(2, "minimal_cost")]),
        (f"{PROGRESSIVE}\n44,UK,0.07,0,1,0,0.6,60,45,0,0,0,0,0,0\n", [(2, "billingblocka")]),
        (f"{PROGRESSIVE}\n44,UK,0.07,90,1,0,0.6,60,30,0,0,0,0,0,0\n", [(2, "initblock")]),
        (f"{PROGRESSIVE}\n44,UK,0.07,45,1,0,0.6,60,30,0,0,0,0,0,0\n", [(2, "initblock")]),
        (f"{PROGRESSIVE}\n44,UK,0.07,0,1,0,dear,60,30,0,0,0,0,0,0\n", [(2, "chargea")]),
        (f"{PROGRESSIVE}\n44,UK,dear,1,1,0,0.6,60,30,0,0,0,0,0,0\n", [(2, "rateinitial")]),
    ],
)
def test_names_what_cannot_be_taken_over(text, problems):
    """What would be charged otherwise here is refused, once, with its line and the file's own name of the column."""
    assert problems_of(text) == problems


def test_reads_an_export_with_a_decimal_comma():
    """MagnusBilling in Brazil writes 0,07: asked for, it is read exactly, in steps as well."""
    (rate,) = read_tariff(f"{MAGNUS}\n44;UK;0,07;30;60;;\n", "export", decimal_comma=True).rates
    assert charge_micros(rate.schedule, 31) == 70_000
