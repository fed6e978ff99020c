"""JSON Schemas of the config's files, for editors: made from the models, so that they say what the gateway takes.

Editors find them by the ``#:schema`` line of a TOML file (Taplo, Even Better TOML).
"""

import json
import tomllib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from gateway.settings.gateway_file import GatewayFile
from gateway.settings.sections import Section
from gateway.settings.tenant_file import DEFAULT_TERMS, PlanFile, TariffFile, TenantFile, TermsSection

SCHEMAS: Final[Mapping[str, type[Section]]] = MappingProxyType(
    {"gateway": GatewayFile, "tenant": TenantFile, "plan": PlanFile, "tariff": TariffFile}
)
"""The kinds of files. ``tariff`` is the TOML beside a tariff's CSV."""
_DIALECT: Final = "http://json-schema.org/draft-07/schema#"  # what Taplo knows


def schema_of(kind: str) -> dict[str, Any]:
    """The schema of a kind of file, one of SCHEMAS. Raises KeyError."""
    model = SCHEMAS[kind]
    schema = model.model_json_schema()
    schema["definitions"] = schema.pop("$defs", {})
    if issubclass(model, TermsSection):
        shown = model.model_construct(**DEFAULT_TERMS).model_dump(mode="json", include=set(DEFAULT_TERMS))
        for name, default in shown.items():
            schema["properties"][name]["default"] = default
    tidied: dict[str, Any] = _tidied(schema)
    return {"$schema": _DIALECT, "title": f"callgate: {kind}"} | tidied


def _tidied(node: Any) -> Any:
    """Examples as values, no null (TOML has none), no made-up titles, and definitions where draft 7 has them."""
    if isinstance(node, list):
        return [_tidied(each) for each in node]
    if not isinstance(node, dict):
        return node.replace("#/$defs/", "#/definitions/") if isinstance(node, str) else node
    node = {name: _tidied(each) for name, each in node.items() if name != "title" or not isinstance(each, str)}
    if "$ref" in node and len(node) > 1:  # draft 7 ignores what stands beside a reference
        node["allOf"] = [{"$ref": node.pop("$ref")}]
    _drop_null(node)
    if isinstance(node.get("examples"), list):
        node["examples"] = [value for text in node["examples"] for value in _example(text)]
    return {name: each for name, each in node.items() if name != "examples" or each}


def _drop_null(node: dict[str, Any]) -> None:
    if "default" in node and (node["default"] is None or ("allOf" in node and isinstance(node["default"], dict))):
        del node["default"]  # a section's default is that of its keys
    choices = node.get("anyOf")
    if isinstance(choices, list) and {"type": "null"} in choices:
        choices.remove({"type": "null"})
        if len(choices) == 1:
            (choice,) = node.pop("anyOf")
            node |= {"allOf": [choice]} if "$ref" in choice else choice


def _example(text: Any) -> list[Any]:
    """The value that an example in TOML stands for; a section's is none."""
    try:
        value = tomllib.loads(f"x = {text}")["x"]
    except tomllib.TOMLDecodeError:
        return []
    if "…" in str(value):
        return []
    as_json: list[Any] = json.loads(json.dumps([value], default=str))  # a date is text there
    return as_json
