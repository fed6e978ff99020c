"""The schemas that editors read: current, and true to the models."""

import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.settings.schema import SCHEMAS, schema_of

CONFIG = Path(__file__).parents[3] / "config"
EXAMPLES = sorted(file for file in CONFIG.rglob("*.toml"))


@pytest.mark.parametrize("kind", SCHEMAS)
def test_the_committed_schemas_are_current(kind: str) -> None:
    """Each is what the models make now; `make schema` writes them."""
    assert json.loads((CONFIG / f"schema/{kind}.json").read_text()) == schema_of(kind), "run make schema"


def nodes(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        yield node
    for each in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from nodes(each)


@pytest.mark.parametrize("kind", SCHEMAS)
def test_every_key_says_what_belongs_into_it(kind: str) -> None:
    """Each has a description, no key is open to others, and nothing may be null, which TOML has not."""
    schema = schema_of(kind)
    for section in (schema, *schema["definitions"].values()):
        for name, described in section.get("properties", {}).items():
            assert described.get("description"), name
        assert section.get("additionalProperties", False) is False
    assert {"type": "null"} not in list(nodes(schema))
    assert "$defs" not in json.dumps(schema)


def section(schema: dict[str, Any], described: dict[str, Any]) -> dict[str, Any] | None:
    """The definition that a key's value is of, if it is a section."""
    found = [described, described.get("items", {}), *described.get("allOf", [])]
    name = next((each["$ref"].rpartition("/")[2] for each in found if "$ref" in each), None)
    definition = schema["definitions"].get(name)
    return definition if definition is not None and "properties" in definition else None


def unknown_keys(schema: dict[str, Any], part: dict[str, Any], data: dict[str, Any]) -> Iterator[str]:
    for name, value in data.items():
        if name not in part["properties"]:
            yield name
            continue
        below = section(schema, part["properties"][name])
        for each in value if isinstance(value, list) else [value]:
            if below is not None and isinstance(each, dict):
                yield from unknown_keys(schema, below, each)


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: str(file.relative_to(CONFIG)))
def test_the_examples_name_their_schema(file: Path) -> None:
    """Their first line does, from their own folder, and it knows all keys that they have and all that it requires."""
    named = re.match(r"#:schema (\S+)\n", file.read_text())
    assert named is not None
    schema = json.loads((file.parent / named[1]).read_text())
    data = tomllib.loads(file.read_text())
    assert list(unknown_keys(schema, schema, data)) == []
    assert set(schema.get("required", ())) <= set(data)


def test_units_bounds_and_defaults_are_in_it() -> None:
    """An amount may be a number or text, times name their unit and bounds, and a plan's defaults are those in force."""
    tenant = schema_of("tenant")
    quota = tenant["definitions"]["QuotaSection"]["properties"]["extend_lead_ms"]
    assert (quota["minimum"], quota["maximum"], quota["default"]) == (500, 60_000, 5_000)
    assert quota["description"].startswith("milliseconds ")
    assert [each["type"] for each in tenant["properties"]["credit_limit"]["anyOf"]] == ["number", "string"]
    assert tenant["properties"]["unmetered_classes"]["default"] == ["domestic"]
    assert schema_of("plan")["properties"]["credit_months"]["default"] == 12
    assert "EUR" in tenant["properties"]["currency"]["enum"]
