"""The OpenAPI 3.1 document, made of the table of operations and the models that check what is asked."""

import re
from importlib.metadata import version
from typing import Any, Final, Literal

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from gateway.adapters.http.api import asks
from gateway.adapters.http.api.live import PATH as LIVE
from gateway.adapters.http.api.operations import CALL, OPERATIONS, Operation, problems_of
from gateway.adapters.http.api.problems import KINDS, MEDIA_TYPE, Problem
from gateway.core.access import Role

_REF: Final = "#/components/schemas/{model}"
_IN_PATH: Final = re.compile(r"\{(\w+)\}")
_PATH_WORDS: Final[dict[str, dict[str, Any]]] = {
    "tenant": {"type": "string", "pattern": asks.TENANT_PATTERN, "description": "The tenant's id."},
    "switch": {"type": "string", "description": "Of a call's id: the switch."},
    "uniqueid": {"type": "string", "description": "Of a call's id: the uniqueid of the channel that asked."},
    "recharge": {"type": "string", "maxLength": 84, "description": "A recharge's id, as its event has it."},
    "nonce": {"type": "string", "description": "Of a call's id: the ask's own number."},
}
_ABOUT: Final = (
    "What an admin or a clerk can do with a running callgate. An amount stands twice: `balance` in units of the "
    "currency, `balance_micros` in micro-units; so does a time: `at` and `at_ms`. Errors are RFC 9457 problem details "
    f"with a stable `code`. A call's id is the three words of its path, as in `{CALL}`."
)


def document() -> dict[str, Any]:
    """The whole document."""
    schemas = _schemas()
    paths: dict[str, Any] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation)
    paths[LIVE] = {"get": _stream()}
    return {
        "openapi": "3.1.0",
        "info": {"title": "callgate", "version": version("callgate"), "description": _ABOUT},
        "security": [{"bearer": []}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "Made by `callgate token make`."}
            },
        },
    }


def _schemas() -> dict[str, Any]:
    Mode = Literal["validation", "serialization"]  # noqa: N806 - a type
    wanted: dict[tuple[type[BaseModel], Mode], None] = {(Problem, "serialization"): None}
    for operation in OPERATIONS:
        wanted[operation.answer, "serialization"] = None
        if operation.body is not None:
            wanted[operation.body, "validation"] = None
    made: dict[str, Any] = models_json_schema(list(wanted), ref_template=_REF)[1]["$defs"]
    return made


def _operation(operation: Operation) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "description": f"Takes the role `{operation.role}`"
        + (", of a token of all tenants." if operation.is_global else "."),
        "x-role": str(operation.role),
        "parameters": [*_path_parameters(operation), *_query_parameters(operation), *_headers(operation)],
        "responses": _responses(operation),
    }
    if operation.body is not None:
        schema = {"$ref": _REF.format(model=operation.body.__name__)}
        described["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    return described


def _stream() -> dict[str, Any]:
    """The live page's stream, which is no operation: it does not end."""
    codes = ("unauthorized", "rate_limited", "internal", "not_available")
    return {
        "operationId": "live",
        "summary": "What goes on now, as server-sent events, as far as the token sees it",
        "description": "First `hello`, `reset`, `items` in pieces and `ready`, then `items` with what changed, once a "
        "second at the most, and a `beat` at least every 6 seconds. `items` has things by kind and key, and `gone` "
        "the keys of what is there no more. With `Last-Event-ID` what was missed is told, or all anew.",
        "x-role": str(Role.READ),
        "parameters": [],
        "responses": {
            "200": {"description": "The stream", "content": {"text/event-stream": {"schema": {"type": "string"}}}},
            **{str(KINDS[code].status): {"description": f"`{code}`", "content": _problem()} for code in codes},
        },
    }


def _path_parameters(operation: Operation) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": {"maxLength": 64, "minLength": 1, **_PATH_WORDS[name]}}
        for name in _IN_PATH.findall(operation.path)
    ]


def _query_parameters(operation: Operation) -> list[dict[str, Any]]:
    return _parameters(operation.query, "query")


def _headers(operation: Operation) -> list[dict[str, Any]]:
    return _parameters(asks.KeyHeader, "header") if operation.has_key else []


def _parameters(model: type[BaseModel], where: str) -> list[dict[str, Any]]:
    schema = model.model_json_schema(by_alias=True)
    required = schema.get("required", [])
    found = []
    for name, of_value in schema["properties"].items() if "properties" in schema else ():
        parameter: dict[str, Any] = {"name": name, "in": where, "required": name in required, "schema": _said(of_value)}
        if "description" in of_value:
            parameter["description"] = of_value["description"]
        found.append(parameter)
    return found


def _said(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of a value that is there: left out is not null, in a query."""
    kinds = [kind for kind in schema.get("anyOf", []) if kind != {"type": "null"}]
    said = {**schema, **kinds[0]} if len(kinds) == 1 else dict(schema)
    return {key: value for key, value in said.items() if key not in {"anyOf", "title"} and value is not None}


def _responses(operation: Operation) -> dict[str, Any]:
    answer = {"$ref": _REF.format(model=operation.answer.__name__)}
    found: dict[str, Any] = {
        "200": {"description": operation.summary, "content": {"application/json": {"schema": answer}}}
    }
    for code in problems_of(operation):
        kind = KINDS[code]
        known = found.setdefault(str(kind.status), {"description": "", "content": _problem()})
        known["description"] = "; ".join(filter(None, [known["description"], f"`{code}`: {kind.title}"]))
    return {status: found[status] for status in sorted(found)}


def _problem() -> dict[str, Any]:
    return {MEDIA_TYPE: {"schema": {"$ref": _REF.format(model=Problem.__name__)}}}
