"""What is in force, and where it comes from."""

from typing import Any

import pytest

from gateway.settings import load
from gateway.settings.gateway_file import GatewayFile
from gateway.settings.resolve import HIDDEN, InForce, Value
from gateway.settings.sections import Section
from gateway.settings.tenant_file import TenantFile
from tests.unit.settings.folder import HOOK_SECRET, TENANT, Folder

PLAN = """\
currency = "USD"
credit_limit = 5
barred_classes = ["premium", "satellite"]

[[included]]
name = "home"
minutes = 60
classes = ["domestic"]
"""


def of_tenant(folder: Folder, name: str = "acme") -> dict[str, Value]:
    values = InForce(load(folder.root, folder.environ)).tenant(name)
    assert len({value.key for value in values}) == len(values)
    return {value.key: value for value in values}


def facts(value: Value) -> tuple[Any, str]:
    return value.value, value.source


def test_a_value_of_the_file_a_plans_and_a_default(folder: Folder) -> None:
    """Each names the file and line that said it, from the config folder, or says that it is the default."""
    folder.write("plans/p.toml", PLAN)
    folder.write("tenants/acme.toml", 'plan = "p.toml"\nbarred_classes = []\n' + TENANT.format(name="acme"))
    values = of_tenant(folder)
    assert facts(values["recharge.trigger"]) == ("10.00", "tenants/acme.toml:13")
    assert facts(values["credit_limit"]) == ("5.00", "plans/p.toml:2")
    assert facts(values["barred_classes"]) == ([], "tenants/acme.toml:2")
    assert facts(values["included.home.minutes"]) == (60, "plans/p.toml:7")
    assert facts(values["quota.quantum_seconds"]) == (60, "default")
    assert facts(values["credit_months"]) == (12, "default")
    assert facts(values["unmetered_classes"]) == (["domestic"], "default")
    assert facts(values["time_zone"]) == ("UTC", "default")


def test_the_default_plan_is_that_of_tenants_that_name_none(folder: Folder) -> None:
    """Its terms hold for them, `plan` names the line of gateway.toml, and a tenant's own plan goes before it."""
    folder.write("plans/p.toml", PLAN)
    folder.write("plans/q.toml", 'currency = "USD"\ncredit_limit = 7\n')
    folder.change("gateway.toml", "[[switch]]", '[rating]\ndefault_plan = "p.toml"\n\n[[switch]]')
    folder.write("tenants/own.toml", 'plan = "q.toml"\n' + TENANT.format(name="own"))
    settings = load(folder.root, folder.environ)
    assert settings.tenants["acme"].credit_limit_micros == 5_000_000
    assert settings.tenants["own"].credit_limit_micros == 7_000_000
    assert facts(of_tenant(folder)["plan"]) == ("p.toml", "gateway.toml:5")
    assert facts(of_tenant(folder, "own")["plan"]) == ("q.toml", "tenants/own.toml:1")


def test_a_default_plan_that_does_not_fit_is_told_at_the_tenant(folder: Folder) -> None:
    """One that is not there, or is in another currency than a tenant that names none."""
    folder.change("gateway.toml", "[[switch]]", '[rating]\ndefault_plan = "p.toml"\n\n[[switch]]')
    assert "p.toml" in folder.problem().what
    folder.write("plans/p.toml", PLAN.replace("USD", "EUR"))
    problem = folder.problem()
    assert (problem.key, problem.file.name) == ("plan", "acme.toml")
    assert "the default plan p.toml is in EUR" in problem.what


def test_a_plan_that_no_tenant_has_is_checked_too(folder: Folder) -> None:
    """What is wrong with it is told before a tenant is given it."""
    folder.write("plans/p.toml", PLAN.replace("credit_limit", "credit_limt"))
    assert folder.problem().key == "credit_limt"


def test_the_chain_of_tariffs(folder: Folder) -> None:
    """The tenant's tariff, then the default one, each with its rows and the sum of its files."""
    folder.change("gateway.toml", "[[switch]]", '[rating]\ndefault_tariff = "all.csv"\n\n[[switch]]')
    text = (folder.root / "tariffs/default.csv").read_text()
    folder.write("tariffs/all.csv", text + "33,France,0,0.02,30,6\n")
    values = of_tenant(folder)
    assert facts(values["tariff[1]"]) == ("default.csv", "tenants/acme.toml:2")
    assert facts(values["tariff[2]"]) == ("all.csv", "gateway.toml:5")
    assert (values["tariff[1].rows"].value, values["tariff[2].rows"].value) == (3, 4)
    assert values["tariff[1].sha256"].value != values["tariff[2].sha256"].value


def test_a_plans_own_values(folder: Folder) -> None:
    """A plan shows what it says and what holds where it is silent; it has no key that only tenants have."""
    folder.write("plans/p.toml", PLAN)
    values = {value.key: value for value in InForce(load(folder.root, folder.environ)).plan("p.toml")}
    assert facts(values["credit_limit"]) == ("5.00", "plans/p.toml:2")
    assert facts(values["charge_unit"]) == ("0.000001", "default")
    assert "numbers.home_country" not in values


LIMITS = """\
currency = "USD"
[[limit]]
name = "all"
concurrent_calls = 9
[[limit]]
name = "abroad"
spend_per_day = 20
rate_per_minute = 0.50
[guards.refusals]
count = 10
window_seconds = 60
[guards.sequence]
count = 4
window_seconds = 60
"""


def test_limits_by_name_and_guards_by_section(folder: Folder) -> None:
    """A tenant's limit replaces its plan's of the same name, and its guard the plan's; the others stay."""
    folder.write("plans/p.toml", LIMITS)
    own = '[[limit]]\nname = "abroad"\nspend_per_day = 5\n[guards.refusals]\nthen = "off"\n'
    folder.write("tenants/acme.toml", 'plan = "p.toml"\n' + TENANT.format(name="acme") + own)
    values = of_tenant(folder)
    assert facts(values["limit.all.concurrent_calls"]) == (9, "plans/p.toml:4")
    assert facts(values["limit.abroad.spend_per_day"]) == ("5.00", "tenants/acme.toml:20")
    assert "limit.abroad.rate_per_minute" not in values
    assert facts(values["guards.refusals.then"]) == ("off", "tenants/acme.toml:22")
    assert facts(values["guards.refusals.count"]) == (None, "default")
    assert facts(values["guards.sequence.count"]) == (4, "plans/p.toml:13")
    (acme,) = load(folder.root, folder.environ).tenants.values()
    assert {limit.name: limit.concurrent_calls for limit in acme.limits} == {"all": 9, "abroad": None}


def test_no_secret_is_in_it(folder: Folder) -> None:
    """Secrets are hidden wherever they stand, passwords and queries of URLs too; a new secret has another mark."""
    folder.change("gateway.toml", '"embedded"', '"redis://:hunter2@127.0.0.1/0"')
    folder.change("tenants/acme.toml", "8787/hook", "8787/hook?token=hunter3")
    in_force = InForce(load(folder.root, folder.environ))
    values = [*in_force.gateway(), *in_force.tenant("acme")]
    text = repr(values)
    assert not any(secret in text for secret in ("a secret", HOOK_SECRET, "hunter2", "hunter3"))
    by_key = {value.key: value for value in values}
    assert by_key["redis.url"].value == "redis://127.0.0.1/0"
    assert facts(by_key["webhook.secrets"]) == (HIDDEN, "tenants/acme.toml:16")
    folder.environ["HOOK_SECRETS"] = HOOK_SECRET.replace("MfKQ", "NfKQ")
    assert of_tenant(folder)["webhook.secrets"].mark != by_key["webhook.secrets"].mark
    assert of_tenant(folder)["webhook.secrets"].mark == of_tenant(folder)["webhook.secrets"].mark


@pytest.mark.parametrize("model", [TenantFile, GatewayFile])
def test_no_key_is_forgotten(folder: Folder, model: type[Section]) -> None:
    """Each key of the model, and so each of a section that is added to it, is among the values."""
    in_force = InForce(load(folder.root, folder.environ))
    values = in_force.tenant("acme") if model is TenantFile else in_force.gateway()
    shown = {value.key.partition("[")[0].partition(".")[0] for value in values}
    assert shown == set(model.model_fields)
