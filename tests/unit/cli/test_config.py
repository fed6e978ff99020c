"""`callgate show` and `callgate schema` as an admin meets them."""

import json
from pathlib import Path

from typer.testing import CliRunner, Result

from gateway.cli import app
from gateway.settings.schema import schema_of

CONFIG = Path(__file__).parents[3] / "config"


def callgate(*words: str) -> Result:
    return CliRunner().invoke(app, [*words, *([] if words[0] == "schema" else ["--config", str(CONFIG)])])


def test_a_tenants_values_as_a_table_and_as_json() -> None:
    """Each has its value and where it comes from; both forms tell the same keys."""
    table = callgate("show", "tenant", "acme")
    values = json.loads(callgate("show", "tenant", "acme", "--json").output)
    assert table.exit_code == 0, table.output
    assert all(value["key"] in table.output for value in values)
    by_key = {value["key"]: value for value in values}
    assert by_key["recharge.trigger"]["value"] == "10.00"
    assert by_key["recharge.trigger"]["source"].startswith("tenants/acme.toml:")
    assert by_key["quota.quantum_seconds"] == {"key": "quota.quantum_seconds", "value": 60, "source": "default"}
    assert "whsec_" not in table.output + json.dumps(values)


def test_a_plan_by_its_name_and_the_gateway() -> None:
    """With .toml or without; one that is not there is told with those that are."""
    assert (
        callgate("show", "plan", "post-usage", "--json").output
        == callgate("show", "plan", "post-usage.toml", "--json").output
    )
    unknown = callgate("show", "plan", "gold")
    assert unknown.exit_code == 1
    assert "no plan 'gold'; the config has: domestic, domestic-and-international, " in unknown.output
    assert "change-me" not in callgate("show", "gateway").output


def test_a_schema() -> None:
    """It is printed as it is committed; an unknown kind is a mistyped command."""
    assert json.loads(callgate("schema", "plan").output) == schema_of("plan")
    assert callgate("schema", "plans").exit_code == 2
