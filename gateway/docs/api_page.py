"""The reference of the API, made of the OpenAPI document that the gateway serves."""

from collections.abc import Iterator
from typing import Any

from gateway.adapters.http.api.openapi import document
from gateway.adapters.http.api.problems import KINDS
from gateway.docs.tables import page, table


def api_page() -> str:
    """Every operation, then the models that they take and answer."""
    described = document()
    schemas = described["components"]["schemas"]
    parts: list[str] = []
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            parts += _operation(method.upper(), path, operation)
    parts.append("## Models")
    for name, schema in sorted(schemas.items()):
        parts += [f"### {name}", str(schema.get("description", "")), _fields(schema)]
    parts += [
        "## Problems",
        table(("code", "status", "is"), [(f"`{code}`", str(k.status), k.title) for code, k in KINDS.items()]),
    ]
    about = (
        f"{described['info']['description']}\n\nA running gateway has the same at `/v1/docs`, and for programs at "
        "`/v1/openapi.json`. [The API](../how-to/api.md) says how to make a token, and what a role may do."
    )
    return page("API operations", about, *filter(None, parts))


def _operation(method: str, path: str, operation: dict[str, Any]) -> Iterator[str]:
    yield f"## {operation['operationId']}"
    yield f"`{method} {path}`"
    yield f"{operation['summary']}. {operation['description']}"
    rows = [
        (
            f"`{one['name']}`",
            one["in"],
            _type(one["schema"]),
            "yes" if one["required"] else "",
            str(one.get("description", "")),
        )
        for one in operation["parameters"]
    ]
    if rows:
        yield table(("parameter", "in", "type", "required", "meaning"), rows)
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
    if body:
        yield f"Body: {_type(body)}."
    answers = [
        (status, "; ".join(map(_type, _schemas(one))), one["description"])
        for status, one in operation["responses"].items()
    ]
    yield table(("status", "model", "when"), answers)


def _schemas(response: dict[str, Any]) -> list[dict[str, Any]]:
    return [content["schema"] for content in response.get("content", {}).values()]


def _fields(schema: dict[str, Any]) -> str:
    if "properties" not in schema:
        return _type(schema)
    required = schema.get("required", [])
    return table(
        ("field", "type", "required", "meaning"),
        [
            (f"`{name}`", _type(each), "yes" if name in required else "", str(each.get("description", "")))
            for name, each in schema["properties"].items()
        ],
    )


def _type(schema: dict[str, Any]) -> str:
    """What a value is, with a link where it is a model."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    for choice in ("anyOf", "allOf", "oneOf"):
        if choice in schema:
            return " or ".join(map(_type, schema[choice]))
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    kind = schema.get("type", "any")
    return " or ".join(kind) if isinstance(kind, list) else str(kind)
