"""Owned numbers in a tenant's file: whose they are, and what they cost."""

from pathlib import Path

import pytest

from gateway.core.facts import Direction
from gateway.settings import load
from tests.unit.settings.folder import Folder

INBOUND = '\n[inbound]\nnumbers = ["+18005550100"]\ntariff = "inbound.csv"\n'
PRICES = """\
prefix,destination,connect_fee,rate_per_minute,initial_increment,increment
1800,Toll-free,0,0.03,60,6
"""


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """Two tenants; acme owns a number."""
    made = Folder(tmp_path, "acme", "globex")
    made.write("tariffs/inbound.csv", PRICES)
    add(made, "acme", INBOUND)
    return made


def add(folder: Folder, tenant: str, text: str) -> None:
    name = f"tenants/{tenant}.toml"
    folder.write(name, (folder.root / name).read_text() + text)


def test_an_owned_number_has_the_price_of_the_inbound_tariff(folder: Folder) -> None:
    """And none of the tenant's own dials' tariff."""
    assert folder.check() == []
    inbound = load(folder.root, folder.environ).tenants["acme"].inbound
    assert inbound.numbers == {"+18005550100"}
    rate = inbound.tariffs.lookup("+18005550100")
    assert rate is not None
    assert (rate.tariff, rate.per_minute) == ("inbound.csv", rate.per_minute)
    assert inbound.tariffs.lookup("+442079460000") is None


def test_a_number_of_two_tenants_names_both_files(folder: Folder) -> None:
    """One would pay for the other."""
    add(folder, "globex", INBOUND)
    problem = folder.problem()
    assert problem.file.name == "globex.toml"
    assert problem.key == "inbound.numbers"
    assert "acme.toml" in problem.what


def test_an_accountcode_that_looks_like_a_number_is_no_number(folder: Folder) -> None:
    """The two are looked up apart."""
    folder.change("tenants/globex.toml", '["globex"]', '["+18005550100"]')
    assert folder.check() == []


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("+18005550100", "18005550100", "inbound.numbers"),
        ("+18005550100", "+1800555x100", "inbound.numbers"),
        ('"+18005550100"', '"+18005550100", "+18005550100"', "inbound.numbers"),
        ("inbound.csv", "nowhere.csv", "inbound.tariff"),
    ],
)
def test_what_is_wrong_is_told_where_it_stands(folder: Folder, old: str, new: str, key: str) -> None:
    """By file, key and remedy."""
    folder.change("tenants/acme.toml", old, new)
    problem = folder.problem()
    assert problem.key.startswith(key)
    assert not problem.is_warning


def test_a_number_that_no_row_prices_is_warned_of(folder: Folder) -> None:
    """All calls to it would be refused."""
    folder.change("tenants/acme.toml", "+18005550100", "+448005550100")
    problem = folder.problem()
    assert problem.is_warning
    assert "+448005550100" in problem.what


def test_a_limit_may_name_a_direction(folder: Folder) -> None:
    """Else it is for both."""
    add(folder, "acme", '[[limit]]\nname = "lines"\ndirection = "inbound"\nconcurrent_calls = 3\n')
    (limit,) = load(folder.root, folder.environ).tenants["acme"].limits
    assert limit.direction is Direction.INBOUND
