"""The page at /v1/docs: the OpenAPI document for people. No script, and nothing from elsewhere."""

import base64
import hashlib
from html import escape
from typing import Any, Final

from gateway.adapters.http.api.problems import KINDS

_STYLE: Final = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h2 { margin-top: 2.5rem; font-size: 1.1rem; } code, pre { font-family: ui-monospace, monospace; font-size: 0.9em; }
h2 code { font-size: 1em; } table { border-collapse: collapse; } .role { color: #666; font-weight: normal; }
td, th { text-align: left; vertical-align: top; padding: 0.15rem 1rem 0.15rem 0; }
"""
POLICY: Final = (
    "default-src 'none'; frame-ancestors 'none'; form-action 'none'; "
    f"style-src 'sha256-{base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()}'"
)
"""The Content-Security-Policy of the page: its own style, and nothing else."""


def page(document: dict[str, Any]) -> str:
    """The page, from the document."""
    operations = [
        _operation(method, path, operation, document["components"]["schemas"])
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    codes = _table(
        ("code", "status", "is"),
        [(f"<code>{code}</code>", str(kind.status), kind.title) for code, kind in KINDS.items()],
    )
    about = escape(document["info"]["description"]).replace("`", "")
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>callgate API</title>'
        f"<style>{_STYLE}</style></head><body><h1>callgate API {escape(document['info']['version'])}</h1>"
        f'<p>{about}</p><p>For programs: <a href="/v1/openapi.json">openapi.json</a>. Send '
        f"<code>Authorization: Bearer TOKEN</code>.</p>{''.join(operations)}<h2>Problems</h2>{codes}</body></html>\n"
    )


def _operation(method: str, path: str, operation: dict[str, Any], schemas: dict[str, Any]) -> str:
    rows: list[tuple[str, ...]] = [
        (f"<code>{escape(one['name'])}</code>", one["in"], _kind(one["schema"]), _about(one), _need(one["required"]))
        for one in operation["parameters"]
    ]
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
    rows += _fields(body, "body", schemas)
    ((kind, content),) = operation["responses"]["200"]["content"].items()
    names = _schema(content["schema"], schemas)["properties"] if "$ref" in content["schema"] else (kind,)
    told = ", ".join(f"<code>{escape(name)}</code>" for name in names)
    return (
        f'<h2 id="{operation["operationId"]}"><code>{method.upper()} {escape(path)}</code> '
        f'<span class="role">{operation["x-role"]}</span></h2><p>{escape(operation["summary"])}.</p>'
        f"{_table(('name', 'in', 'type', 'is', ''), rows) if rows else ''}<p>Answers: {told}</p>"
    )


def _fields(schema: dict[str, Any] | None, where: str, schemas: dict[str, Any]) -> list[tuple[str, ...]]:
    if schema is None:
        return []
    found = _schema(schema, schemas)
    required = found.get("required", [])
    return [
        (f"<code>{escape(name)}</code>", where, _kind(value), _about(value), _need(name in required))
        for name, value in found["properties"].items()
    ]


def _schema(schema: dict[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = schemas[schema["$ref"].rpartition("/")[2]]
    return found


def _kind(schema: dict[str, Any]) -> str:
    kinds = [schema, *schema.get("anyOf", [])]
    return next((str(kind["type"]) for kind in kinds if kind.get("type") not in {None, "null"}), "")


def _about(schema: dict[str, Any]) -> str:
    words = [str(schema.get("description", ""))]
    if schema.get("default") is not None:
        words.append(f"Default: {schema['default']}.")
    return escape(" ".join(filter(None, words)))


def _need(is_required: bool) -> str:
    return "required" if is_required else ""


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [f"<tr>{''.join(f'<th>{word}</th>' for word in head)}</tr>"]
    lines += [f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows]
    return f"<table>{''.join(lines)}</table>"
