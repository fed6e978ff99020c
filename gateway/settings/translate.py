"""From pydantic's errors to problems in an admin's words."""

from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from gateway.settings.lines import KeyLines, KeyPath
from gateway.settings.problem import Problem
from gateway.settings.sections import WRONG

_SECRET_KEYS: Final = frozenset(
    {"secret", "secrets", "url", "sha256"}
)  # a URL may hold a password, a hash be the token
_MOST_SHOWN: Final = 60
UNKNOWN_KEY: Final = "extra_forbidden"
"""Pydantic's name of the error."""


def problems_of(error: ValidationError, model: type[BaseModel], file: Path, lines: KeyLines) -> Iterator[Problem]:
    """One problem for each of pydantic's errors. No secret is shown."""
    for detail in error.errors(include_url=False):
        path = detail["loc"]
        what, remedy = _say(detail, model)
        yield Problem(file, lines.find(path), key_text(path), what, remedy)


def key_text(path: KeyPath) -> str:
    """``("switch", 0, "port")`` as ``switch[1].port``: people count sections from one."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part + 1}]"
        else:
            # What an admin wrote as a key may be any text: it must not forge a line of the report.
            shown = part if part.isprintable() else ascii(part)
            text += f".{shown}" if text else shown
    return text


def _say(detail: ErrorDetails, model: type[BaseModel]) -> tuple[str, str]:
    path, kind = detail["loc"], detail["type"]
    context: dict[str, Any] = detail.get("ctx", {})
    if kind == WRONG:
        return context["what"], context["remedy"]
    if kind == UNKNOWN_KEY:
        return "this key is not known", _did_you_mean(str(path[-1]), _section_at(model, path[:-1]))
    field = _field_at(model, path)
    remedy = _remedy(field, path)
    if kind == "missing":
        return "this key is missing", remedy
    if kind in {"model_type", "model_attributes_type"}:
        return "this is not a section", remedy
    return f"this is not right ({detail['msg'].lower()}){_shown(detail, path)}", remedy


def _shown(detail: ErrorDetails, path: KeyPath) -> str:
    value = detail.get("input")
    if _SECRET_KEYS.intersection(path) or not isinstance(value, str | int):
        return ""
    text = ascii(value)
    return f": {text if len(text) <= _MOST_SHOWN else text[:_MOST_SHOWN] + '…'}"


def _remedy(field: FieldInfo | None, path: KeyPath) -> str:
    if field is None:
        return "look at the example in config/"
    example = (field.examples or ["…"])[0]
    if example.startswith("["):  # a section, or a list
        name = str(path[-1]) if path else ""
        is_section = example.strip("[]") == name
        return f"write {example if is_section else f'{_last_name(path)} = {example}'}: {field.description}"
    return f"write {_last_name(path)} = {example}: {field.description}"


def _last_name(path: KeyPath) -> str:
    return next((part for part in reversed(path) if isinstance(part, str)), "")


def _did_you_mean(name: str, section: type[BaseModel] | None) -> str:
    known = sorted(section.model_fields) if section is not None else []
    close = get_close_matches(name.lower(), known, n=1)
    guess = f'did you mean "{close[0]}"? ' if close else ""
    return f"{guess}remove it, or write one of: {', '.join(known)}"


def _section_at(model: type[BaseModel], path: KeyPath) -> type[BaseModel] | None:
    section: type[BaseModel] | None = model
    for part in path:
        if isinstance(part, int):
            continue
        field = section.model_fields.get(part) if section is not None else None
        section = _section_in(field.annotation) if field is not None else None
    return section


def _field_at(model: type[BaseModel], path: KeyPath) -> FieldInfo | None:
    names = [part for part in path if isinstance(part, str)]
    for length in range(len(names), 0, -1):  # a list's item is described by its list
        section = _section_at(model, tuple(names[: length - 1]))
        if section is not None and names[length - 1] in section.model_fields:
            return section.model_fields[names[length - 1]]
    return None


def _section_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _section_in(part)) is not None), None)
