"""``callgate quote`` and ``callgate rates``, as an admin or a billing clerk types them."""

import csv
import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from gateway.cli import app
from rating import read_tariff

CONFIG = Path(__file__).parents[3] / "config"
LONDON = "011442079460000"
TARIFF = """prefix,destination,connect_fee,rate_per_minute,initial_increment,increment,steps,minimum_charge,band
44,UK,0.4,0.2,60,60,60:0.1/1,,
33,France,0,0.60,1,1,,0.05,
39,Italy by day,1,60,1,1,,,day
39,Italy,1,30,1,1,,,
"""
BESIDE = 'time_zone = "Europe/Rome"\n[bands]\nday = ["Mon-Fri 08:00-18:00"]\n'


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """The shipped config with acme alone, on a tariff of few rows, and books of its own."""
    folder = tmp_path / "config"
    for name in ("tenants", "tariffs", "plans"):
        shutil.copytree(CONFIG / name, folder / name)
    shutil.copy(CONFIG / "gateway.toml", folder)
    (folder / "tenants/globex.toml").unlink()
    (folder / "tariffs/default.csv").write_text(TARIFF)
    (folder / "tariffs/default.toml").write_text(BESIDE)
    return folder


def callgate(config: Path, *words: str) -> Result:
    return CliRunner().invoke(app, [*words, "--config", str(config)])


def quoted(config: Path, *words: str) -> dict[str, Any]:
    result = callgate(config, "quote", *words, "--json")
    assert result.exit_code == 0, result.output
    told: dict[str, Any] = json.loads(result.stdout)
    return told


@pytest.mark.parametrize(("seconds", "charge_micros"), [(20, 600_000), (85, 641_667), (120, 700_000)])
def test_a_quote_is_what_the_call_would_cost(config: Path, seconds: int, charge_micros: int) -> None:
    """With class, row, file and line, each run of blocks, the exact sum and what is charged."""
    told = quoted(config, LONDON, "--seconds", str(seconds))
    assert (told["number"], told["class"], told["tenant"]) == ("+442079460000", "international_fixed", "acme")
    assert (told["runs"][0]["row"]["tariff"], told["runs"][0]["row"]["line"]) == ("default.csv", 2)
    assert told["charge_micros"] == charge_micros


def test_a_quote_for_people_adds_up_on_paper(config: Path) -> None:
    """Each run of blocks, the fee, the exact sum and the charge stand there."""
    words = callgate(config, "quote", LONDON, "--seconds", "85").stdout
    for part in ("1 of 60 s", "25 of 1 s", "connect fee", "exactly 77/120, charged 0.641667 USD", "default.csv line 2"):
        assert part in words


def test_a_call_over_a_border_is_split_there(config: Path) -> None:
    """Thursday 17:30 to 18:30 in Rome: 1, 1800 s at 1, 1800 s at 0.5."""
    told = quoted(config, "0113906123456", "--seconds", "3600", "--at", "2026-11-26T17:30+01:00")
    assert [(run["to_second"], run["amount"], run["row"]["band"]) for run in told["runs"]] == [
        (1800, "1800", "day"),
        (3600, "900", ""),
    ]
    assert told["charge_micros"] == 2_701_000_000


def test_what_changed_the_sum_is_said(config: Path) -> None:
    """A second of France costs 0.01, and is raised to the minimum."""
    words = callgate(config, "quote", "01133123456789", "--seconds", "1").stdout
    assert "raised to the minimum charge of 0.05" in words
    assert "exactly 0.05, charged 0.05 USD" in words


def test_without_seconds_the_row_is_shown_and_how_long_the_credit_lasts(config: Path) -> None:
    """From what is available now."""
    assert callgate(config, "topup", "acme", "1.00").exit_code == 0
    told = quoted(config, LONDON)
    assert (told["available_micros"], told["longest_seconds"]) == (1_000_000, 300)
    assert told["row"]["steps"] == "60:0.1/1"
    assert "a call would last 300 s" in callgate(config, "quote", LONDON).stdout


def test_included_minutes_are_quoted(config: Path) -> None:
    """A call of two minutes within them costs nothing."""
    tenant = config / "tenants/acme.toml"
    tenant.write_text(
        tenant.read_text().replace(
            'tariff = "default.csv"', 'plan = "domestic-and-international.toml"\ntime_zone = "America/New_York"'
        )
    )
    at = ("--seconds", "120", "--at", "2026-12-01T02:00+00:00")
    told = quoted(config, LONDON, *at)
    assert (told["included_seconds"], told["charge_micros"], told["month"]) == (120, 0, "2026-11")
    words = callgate(config, "quote", LONDON, *at).stdout
    assert "120 s of international used, of 36000 s that 2026-11 includes" in words


def test_a_tariff_can_be_quoted_by_itself(config: Path) -> None:
    """With what stands beside it, and no config."""
    file = str(config / "tariffs/default.csv")
    told = quoted(config, "+442079460000", "--tariff", file, "--seconds", "20")
    assert (told["tenant"], told["currency"], told["charge_micros"]) == (None, None, 600_000)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["x"], "is no number"),
        (["0118613800138000"], "refused (no_rate)"),
        (["19005551212"], "refused (barred)"),
        ([LONDON, "--at", "noon"], "is no time"),
        ([LONDON, "--at", "1969-12-31T00:00+00:00"], "is no time"),
        ([LONDON, "--at", "9999-12-31T23:00+00:00"], "is no time"),
        ([LONDON, "--tenant", "nobody"], "There is no tenant"),
        (["442079460000x", "--tariff", "default.csv"], "is no E.164 number"),
        (["+442079460000", "--tariff", "gone.csv"], "this file is missing"),
        (["+442079460000", "--tariff", "gone.csv", "--tenant", "acme"], "not both"),
    ],
)
def test_what_cannot_be_quoted_is_one_sentence(config: Path, words: list[str], sentence: str) -> None:
    """On standard error, with exit code 1."""
    tenant = config / "tenants/acme.toml"
    tenant.write_text(tenant.read_text().replace("# barred_classes = []", 'barred_classes = ["premium"]'))
    result = callgate(config, "quote", *words)
    assert result.exit_code == 1
    assert sentence in result.stderr
    assert "Traceback" not in result.output


def test_a_free_call_is_said_to_be_free(config: Path) -> None:
    """For people and for programs."""
    assert "passes without charge" in callgate(config, "quote", "12125551212").stdout
    assert quoted(config, "12125551212")["is_metered"] is False


def test_a_price_list_is_a_tariff_again(config: Path) -> None:
    """What `rates --csv` prints is read as the same rows."""
    listed = callgate(config, "rates", "--csv").stdout
    rows = list(csv.DictReader(io.StringIO(listed)))
    assert [row["destination"] for row in rows] == ["France", "Italy by day", "Italy", "UK"]
    unbanded = "\n".join(line for line in listed.splitlines() if ",day," not in line)
    assert len(read_tariff(unbanded, "again").rates) == 3


def test_a_price_list_for_people_has_only_the_columns_that_say_something(config: Path) -> None:
    """No row has a longest call."""
    words = callgate(config, "rates", "--tenant", "acme").stdout
    assert "France" in words
    assert "maximum" not in words


def test_names_are_printed_as_they_are(config: Path) -> None:
    """What would be markup to a terminal library is a name like any other."""
    file = config / "tariffs/default.csv"
    file.write_text(TARIFF.replace(",UK,", ",UK [/] [red]x :smile:,"))
    for words in (["rates"], ["quote", LONDON, "--seconds", "5"]):
        result = callgate(config, *words)
        assert result.exit_code == 0
        assert "UK [/] [red]x :smile:" in result.stdout


def test_figures_are_never_cut(config: Path) -> None:
    """However many columns there are."""
    file = config / "tariffs/default.csv"
    file.write_text(file.read_text().replace("0.4,0.2,60,60,60:0.1/1", "12345.678901,0.123456,60,60,60:0.654321/1"))
    words = callgate(config, "rates").stdout
    for figure in ("12345.678901", "0.123456", "60:0.654321/1"):
        assert figure in words


@pytest.mark.parametrize("file", [".", "/"])
def test_a_folder_is_no_tariff(config: Path, file: str) -> None:
    """It is told in a sentence."""
    result = callgate(config, "quote", "+442079460000", "--tariff", file)
    assert result.exit_code == 1
    assert "this is no file" in result.stderr


def test_a_refused_call_is_named_by_the_class_that_the_gate_goes_by(config: Path) -> None:
    """The tariff makes it premium, and the tenant bars that."""
    tenant = config / "tenants/acme.toml"
    tenant.write_text(tenant.read_text().replace("# barred_classes = []", 'barred_classes = ["premium"]'))
    (config / "tariffs/default.csv").write_text(
        "prefix,destination,connect_fee,rate_per_minute,initial_increment,increment,class\n44,UK,0,1,1,1,premium\n"
    )
    assert f"{LONDON}, premium: such a call is refused (barred)" in callgate(config, "quote", LONDON).stderr


OWNED = '\n[inbound]\nnumbers = ["+18005550100"]\ntariff = "inbound.csv"\n'


def test_a_call_that_comes_in_is_quoted_by_the_owned_number(config: Path) -> None:
    """Its owner is found by it; what is told names the direction and the number."""
    (config / "tenants/globex.toml").write_text((config / "tenants/acme.toml").read_text().replace('["acme"]', '["x"]'))
    with (config / "tenants/acme.toml").open("a") as file:
        file.write(OWNED)
    told = quoted(config, "18005550100", "--inbound", "--seconds", "61")
    assert (told["direction"], told["number"], told["tenant"]) == ("inbound", "+18005550100", "acme")
    assert (told["class"], told["runs"][0]["row"]["tariff"]) == ("toll_free", "inbound.csv")
    assert told["charge_micros"] == 24_200  # 60 and 6 at 0.022
    assert (
        "to +18005550100, inbound, toll_free"
        in callgate(config, "quote", "18005550100", "--inbound", "--seconds", "61").stdout
    )
    strange = callgate(config, "quote", "18005550199", "--inbound", "--tenant", "globex")
    assert "globex does not own the number 18005550199." in strange.stderr
