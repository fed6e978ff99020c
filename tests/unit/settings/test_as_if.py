"""A tenant as if its files said something else: whose place a tariff takes, and what is taken of other limits."""

from pathlib import Path

import pytest

from gateway.core.tenant import Tenant
from gateway.settings import ConfigErrors, load, tenant_as_if
from tests.unit.settings.folder import TARIFF, TENANT, Folder

INBOUND = '\n[inbound]\nnumbers = ["+18005550100"]\ntariff = "inbound.csv"\n'
LIMIT = '[[limit]]\nname = "plans"\ncall_seconds = 60\n'
PLAN = f'currency = "USD"\ntariff = "plan.csv"\nbarred_classes = ["premium"]\n{LIMIT}'


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """A tenant with a tariff of its own, its plan's, the default's, and one for calls that come in."""
    made = Folder(tmp_path, "acme")
    made.write("gateway.toml", (tmp_path / "gateway.toml").read_text() + '[rating]\ndefault_tariff = "last.csv"\n')
    for name in ("own", "plan", "last", "inbound", "new"):
        made.write(f"tariffs/{name}.csv", TARIFF)
    own = TENANT.format(name="acme").replace('"default.csv"', '"own.csv"\nplan = "plan.toml"')
    made.write("tenants/acme.toml", own + INBOUND)
    made.write("plans/plan.toml", PLAN)
    return made


def as_if(folder: Folder, tariff: str | None = None, limits: str | None = None) -> Tenant:
    settings = load(folder.root, folder.environ)
    return tenant_as_if(settings, settings.tenants["acme"], tariff, limits)


def names(tenant: Tenant) -> tuple[list[str], list[str]]:
    chains = (tenant.tariffs.tariffs, tenant.inbound.tariffs.tariffs)
    outbound, inbound = ([tariff.name for tariff in chain] for chain in chains)
    return outbound, inbound


@pytest.mark.parametrize(
    ("tariff", "outbound"),
    [
        ("new", ["new.csv", "plan.csv", "last.csv"]),
        ("new.csv", ["new.csv", "plan.csv", "last.csv"]),
        ("plan.csv", ["own.csv", "plan.csv", "last.csv"]),
        ("inbound.csv", ["own.csv", "plan.csv", "last.csv"]),
    ],
)
def test_a_tariff_takes_the_place_of_its_name_or_of_the_tenants_own(
    folder: Folder, tariff: str, outbound: list[str]
) -> None:
    """Calls that come in keep theirs, unless it is of that name."""
    assert names(as_if(folder, tariff)) == (outbound, ["inbound.csv"])


def test_a_file_elsewhere_takes_the_place_of_the_one_of_its_name(folder: Folder, tmp_path: Path) -> None:
    """Its rows are what is changed."""
    file = tmp_path / "elsewhere/last.csv"
    file.parent.mkdir()
    file.write_text(TARIFF.replace("0.02", "0.07"))
    made = as_if(folder, str(file))
    assert names(made)[0] == ["own.csv", "plan.csv", "last.csv"]
    assert {str(rate.per_minute) for rate in made.tariffs.tariffs[2].rates} == {"7/100"}


def test_a_plan_replaces_all_limits_and_bars_and_no_price(folder: Folder) -> None:
    """The tenant's own, and those of its plan of today."""
    folder.write("plans/other.toml", 'currency = "USD"\ncredit_limit = 5\n[[limit]]\nname = "new"\ncall_seconds = 9\n')
    today, made = as_if(folder), as_if(folder, limits="other")
    assert [limit.name for limit in today.limits] == ["plans"]
    assert [limit.name for limit in made.limits] == ["new"]
    assert not made.barring.classes
    assert made.credit_limit_micros == 5_000_000
    assert names(made) == names(today)


def test_a_tenants_file_comes_with_its_plan(folder: Folder) -> None:
    """As it would in the config."""
    text = TENANT.format(name="other").replace('"default.csv"', '"own.csv"\nplan = "plan.toml"')
    file = folder.write("other.toml", text + '[[limit]]\nname = "its"\ncall_seconds = 9\n')
    assert [limit.name for limit in as_if(folder, limits=str(file)).limits] == ["plans", "its"]


@pytest.mark.parametrize(
    ("limits", "sentence"),
    [
        ('currency = "EUR"\n', "the tenant's currency is USD"),
        ('currency = "USD"\nlimits = 1\n', "limits"),
        ("not toml", "TOML"),
        ("[" * 5_000, "this is no"),
        ('currency = "USD"\n[[limit]]\nname = "x"\nprefixes_file = "none.csv"\n', "none.csv"),
    ],
)
def test_a_file_that_is_wrong_is_told_with_its_name(folder: Folder, limits: str, sentence: str) -> None:
    """And what is wrong with it."""
    file = folder.write("new.toml", limits)
    with pytest.raises(ConfigErrors, match=sentence) as found:
        as_if(folder, limits=str(file))
    assert any(problem.file.suffix in {".toml", ".csv"} for problem in found.value.problems)


@pytest.mark.parametrize("name", ["", ".", "none", "a\0b", "/"])
def test_what_is_no_file_is_told(folder: Folder, name: str) -> None:
    """For a tariff and for limits."""
    for words in ({"tariff": name}, {"limits": name}):
        with pytest.raises(ConfigErrors, match="no such file"):
            as_if(folder, **words)
