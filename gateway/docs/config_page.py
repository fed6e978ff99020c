"""The reference of config keys, made of the models that check the files."""

import json
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final

from gateway.docs.tables import page, table
from gateway.settings.schema import SCHEMAS, schema_of

_FILES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "gateway": "`gateway.toml`: where the books are, which switches are gated, where it is watched.",
        "tenant": "`tenants/NAME.toml`: who pays, and on what terms.",
        "plan": "`plans/NAME.toml`: terms that several tenants have.",
        "tariff": "`tariffs/NAME.toml`: what stands beside a tariff's CSV.",
    }
)
_UNITS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "_ms": "ms",
        "_seconds": "s",
        "_minutes": "min",
        "_days": "days",
        "_months": "months",
        "_mib": "MiB",
        "_per_second": "1/s",
    }
)
_AMOUNTS: Final = frozenset({"credit_limit", "charge_unit", "exposure", "trigger", "amount", "amount_per_day"})


def config_page() -> str:
    """Every key of every file: type, unit, default, meaning."""
    parts = [part for kind in SCHEMAS for part in _file(kind)]
    about = (
        "Each key, from the models that check the files. `callgate schema tenant` prints the same as a JSON Schema; "
        "`callgate show tenant acme` shows each value in force, and the file and line that says so. "
        "Amounts are in units of the tenant's currency. A key may be left out unless it is *required*."
    )
    return page("Config keys", about, *parts)


def _file(kind: str) -> Iterator[str]:
    schema = schema_of(kind)
    yield f"## {kind}"
    yield _FILES[kind]
    yield from _section(schema, schema, "")


def _section(schema: dict[str, Any], part: dict[str, Any], path: str) -> Iterator[str]:
    """A section's own keys, then the sections below it."""
    below = {name: found for name, each in part["properties"].items() if (found := _below(schema, each)) is not None}
    own = {name: each for name, each in part["properties"].items() if name not in below}
    if path:
        yield f"### {path}"
    if path and part.get("description"):
        yield part["description"]
    if own:
        required = part.get("required", [])
        yield table(
            ("key", "type", "unit", "default", "meaning"),
            [
                (f"`{name}`", _type(each), _unit(name), _default(name, each, required), _meaning(each))
                for name, each in own.items()
            ],
        )
    for name, found in below.items():
        inner = f"{path.strip('[]')}.{name}".lstrip(".")
        is_list = part["properties"][name].get("type") == "array"
        yield from _section(schema, found, f"[[{inner}]]" if is_list else f"[{inner}]")


def _below(schema: dict[str, Any], described: dict[str, Any]) -> dict[str, Any] | None:
    for each in (described, described.get("items", {}), *described.get("allOf", [])):
        definition: dict[str, Any] = schema["definitions"].get(each.get("$ref", "").rpartition("/")[2], {})
        if "properties" in definition:
            return definition
    return None


def _type(described: dict[str, Any]) -> str:
    kinds = [described, *described.get("anyOf", []), *described.get("allOf", [])]
    for kind in kinds:
        if "enum" in kind or "const" in kind:
            return ", ".join(f"`{value}`" for value in kind.get("enum", [kind.get("const")]))
    names = [str(kind["type"]) for kind in kinds if "type" in kind]
    if names == ["array"]:
        return "list"
    return " or ".join(dict.fromkeys({"object": "table"}.get(name, name) for name in names)) or "string"


def _unit(name: str) -> str:
    if name in _AMOUNTS:
        return "currency"
    return next((unit for ending, unit in _UNITS.items() if name.endswith(ending)), "")


def _default(name: str, described: dict[str, Any], required: list[str]) -> str:
    if name in required:
        return "*required*"
    return f"`{json.dumps(described['default'], ensure_ascii=False)}`" if "default" in described else ""


def _meaning(described: dict[str, Any]) -> str:
    words = str(described.get("description", ""))
    examples = described.get("examples") or []
    shown = (
        f" (as in `{json.dumps(examples[0], ensure_ascii=False)}`)" if examples and "default" not in described else ""
    )
    return words + shown
