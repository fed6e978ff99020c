"""What a tenant's calls cost: its own file, its plan, the default, and what stands beside a tariff."""

import shutil
from pathlib import Path

import pytest

from gateway.core.tenant import Included
from gateway.settings import check, load
from rating import CallClass

from .folder import ENVIRON, TARIFF, TENANT, Folder

CONFIG = Path(__file__).parents[3] / "config"
PLAN = """\
currency = "USD"
tariff = "plan.csv"
unmetered_classes = []
barred_classes = ["premium"]
credit_limit = 5.00
"""
HEADER = TARIFF.splitlines()[0]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """One tenant, acme, on a plan of its own."""
    folder = Folder(tmp_path, "acme")
    folder.write("plans/payg.toml", PLAN)
    folder.write("tariffs/plan.csv", f"{HEADER}\n44,UK by plan,0,0.03,60,60\n33,France by plan,0,0.03,60,60\n")
    folder.write("tariffs/rest.csv", f"{HEADER}\n33,France by default,0,0.09,60,60\n39,Italy,0,0.09,60,60\n")
    folder.change("tenants/acme.toml", 'tariff = "default.csv"', 'tariff = "default.csv"\nplan = "payg.toml"')
    folder.write("gateway.toml", (folder.root / "gateway.toml").read_text() + '[rating]\ndefault_tariff = "rest.csv"\n')
    return folder


def test_the_tenants_own_rates_come_first_then_the_plans_then_the_default(folder: Folder) -> None:
    """The first tariff that covers a number prices it, however long its prefix."""
    tariffs = load(folder.root, ENVIRON).tenants["acme"].tariffs
    found = [tariffs.lookup(number) for number in ("+442079460000", "+33123456789", "+39061234567")]
    assert [rate and rate.destination for rate in found] == ["United Kingdom", "France by plan", "Italy"]


def test_a_tenant_has_its_plans_terms(folder: Folder) -> None:
    """What it does not say itself, its plan says."""
    tenant = load(folder.root, ENVIRON).tenants["acme"]
    assert CallClass.DOMESTIC_FIXED in tenant.metered_classes
    assert (tenant.barring.classes, tenant.credit_limit_micros) == ({CallClass.PREMIUM}, 5_000_000)


def test_a_tenants_own_word_goes_before_its_plans(folder: Folder) -> None:
    """Also where it takes back what the plan says."""
    own = 'plan = "payg.toml"\nbarred_classes = []\ncredit_limit = 0\nunmetered_classes = ["domestic"]'
    folder.change("tenants/acme.toml", 'plan = "payg.toml"', own)
    tenant = load(folder.root, ENVIRON).tenants["acme"]
    assert CallClass.DOMESTIC_MOBILE not in tenant.metered_classes
    assert (tenant.barring.classes, tenant.credit_limit_micros) == (frozenset(), 0)


def test_included_minutes_are_for_classes_and_prefixes(folder: Folder) -> None:
    """Each pool has a name, its seconds, and the calls that it is for."""
    pool = '[[included]]\nname = "europe"\nminutes = 100\nclasses = ["domestic"]\nprefixes = ["44"]\n'
    folder.write("plans/payg.toml", PLAN + pool)
    domestic = frozenset({CallClass.DOMESTIC_FIXED, CallClass.DOMESTIC_MOBILE})
    assert load(folder.root, ENVIRON).tenants["acme"].included == (Included("europe", 6000, domestic, ("44",)),)


def test_charges_are_rounded_up_to_the_accounts_unit(folder: Folder) -> None:
    """A second of 0.03 a minute costs a cent where the tenant's unit is one."""
    folder.change("tenants/acme.toml", 'plan = "payg.toml"', 'plan = "payg.toml"\ncharge_unit = 0.01')
    folder.write("tariffs/plan.csv", f"{HEADER}\n33,France,0,0.03,1,1\n")
    rate = load(folder.root, ENVIRON).tenants["acme"].tariffs.lookup("+33123456789")
    assert rate is not None
    assert rate.schedule.charge(1) == (1, 10_000)


def test_a_row_with_a_unit_of_its_own_is_rounded_to_whole_ones_of_both(folder: Folder) -> None:
    """0.015 is no multiple of a cent: the row rounds to 0.03."""
    folder.change("tenants/acme.toml", 'plan = "payg.toml"', 'plan = "payg.toml"\ncharge_unit = 0.01')
    folder.write("tariffs/plan.csv", f"{HEADER},charge_unit\n33,France,0,0.03,1,1,0.015\n")
    rate = load(folder.root, ENVIRON).tenants["acme"].tariffs.lookup("+33123456789")
    assert rate is not None
    assert rate.schedule.charge(1) == (1, 30_000)


def test_one_list_of_prices_in_two_currencies_is_warned_of(folder: Folder) -> None:
    """Until the file beside it says which it is."""
    folder.write("tenants/globex.toml", TENANT.format(name="globex").replace("USD", "GBP"))
    problems = [problem for problem in folder.check() if problem.is_warning]
    assert {problem.key for problem in problems} == {"tariff"}
    assert 'currency = "USD"' in problems[0].remedy


BESIDE = 'time_zone = "America/New_York"\ncurrency = "USD"\n[bands]\npeak = ["Mon-Fri 08:00-18:00"]\n'
NOON_MS, NIGHT_MS = 1_795_539_600_000, 1_795_579_200_000  # Tuesday 2026-11-24, 12:00 and 23:00 in New York


def test_a_tariff_has_its_bands_from_the_file_beside_it(folder: Folder) -> None:
    """By day the row of its band holds, else the one without."""
    folder.write("tariffs/default.toml", BESIDE)
    folder.write("tariffs/default.csv", f"{HEADER},band\n44,Day,0,0.05,60,60,peak\n44,Night,0,0.01,60,60,\n")
    tariffs = load(folder.root, ENVIRON).tenants["acme"].tariffs
    found = [tariffs.lookup("+442079460000", at_ms) for at_ms in (NOON_MS, NIGHT_MS)]
    assert [rate and rate.destination for rate in found] == ["Day", "Night"]


def test_prices_may_be_written_with_a_comma(folder: Folder) -> None:
    """Where the file beside the tariff says so."""
    folder.write("tariffs/default.toml", "decimal_comma = true\n")
    folder.write("tariffs/default.csv", TARIFF.replace(",", ";").replace("0.02", "0,02"))
    rate = load(folder.root, ENVIRON).tenants["acme"].tariffs.lookup("+442079460000")
    assert rate is not None
    assert rate.per_minute * 50 == 1


@pytest.mark.parametrize(
    ("name", "old", "new", "key", "remedy"),
    [
        ("tenants/acme.toml", '"payg.toml"', '"gold.toml"', "plan", "name another one of that folder"),
        ("tenants/acme.toml", '"payg.toml"', '"payg.toml"\ntime_zone = "Mars"', "time_zone", "Europe/Paris"),
        ("tenants/acme.toml", '"payg.toml"', '"../payg.toml"', "plan", "ends in .toml"),
        ("plans/payg.toml", '"USD"', '"EUR"', "plan", "name a plan in the tenant's currency"),
        ("plans/payg.toml", '"plan.csv"', '"gone.csv"', "tariff", "write the file"),
        ("plans/payg.toml", "barred_classes", "bared_classes", "bared_classes", "barred_classes"),
        ("plans/payg.toml", '["premium"]', '["emergency"]', "barred_classes", "remove them"),
        ("plans/payg.toml", '["premium"]', '["premum"]', "barred_classes[1]", "write one of"),
        ("plans/payg.toml", "5.00", "5.00\ncharge_unit = 0", "charge_unit", "0.000001"),
    ],
)
def test_wrong_terms_are_told_with_key_and_remedy(
    folder: Folder, name: str, old: str, new: str, key: str, remedy: str
) -> None:
    """One problem each, with what to write instead."""
    folder.change(name, old, new)
    problem = folder.problem()
    assert problem.key == key
    assert remedy in problem.remedy


@pytest.mark.parametrize(
    ("pool", "remedy"),
    [
        ('name = "all"\nminutes = 5', "write classes, or prefixes"),
        ('name = "all"\nminutes = 0\nclasses = ["domestic"]', "minutes a month"),
        ('name = "all"\nminutes = 5\nprefixes = ["+44"]', "without their +"),
    ],
)
def test_wrong_included_minutes_are_told(folder: Folder, pool: str, remedy: str) -> None:
    """Minutes for nothing, and none at all, are errors."""
    folder.write("plans/payg.toml", f"{PLAN}[[included]]\n{pool}\n")
    assert remedy in folder.problem().remedy


@pytest.mark.parametrize(
    ("beside", "remedy"),
    [
        (BESIDE.replace("America/New_York", "Mars/Olympus"), "Europe/Paris"),
        (BESIDE.replace("08:00-18:00", "8 to 6"), "Mon-Fri 08:00-18:00"),
        (BESIDE.replace('time_zone = "America/New_York"\n', ""), "write time_zone"),
        (BESIDE.replace('"USD"', '"EUR"'), "name a tariff in the tenant's currency"),
        (BESIDE.replace("[bands]", "[band]"), "bands"),
    ],
)
def test_what_is_wrong_beside_a_tariff_is_told(folder: Folder, beside: str, remedy: str) -> None:
    """One problem each, with what to write instead."""
    folder.write("tariffs/default.toml", beside)
    assert remedy in folder.problem().remedy


def test_a_tenant_without_any_tariff_is_told(tmp_path: Path) -> None:
    """No number would have a price."""
    folder = Folder(tmp_path, "acme")
    folder.change("tenants/acme.toml", 'tariff = "default.csv"\n', "")
    assert "default_tariff" in folder.problem().remedy


@pytest.mark.parametrize("plan", sorted(file.name for file in (CONFIG / "plans").glob("*.toml")))
def test_each_shipped_plan_is_right(tmp_path: Path, plan: str) -> None:
    """A tenant that has nothing but the plan is taken without a word."""
    shutil.copytree(CONFIG, tmp_path, dirs_exist_ok=True)
    for file in (tmp_path / "tenants").iterdir():
        file.unlink()
    (tmp_path / "tenants/acme.toml").write_text(
        TENANT.format(name="acme")
        .replace('tariff = "default.csv"', f'plan = "{plan}"')
        .replace("amount = 25.00", 'mode = "none"')
    )
    assert {problem.file.name for problem in check(tmp_path, ENVIRON)} == {"gateway.toml"}  # its example of a secret
