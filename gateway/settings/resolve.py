"""Every value that is in force, and where it comes from. It follows the models: a new section shows up by itself.

A tenant's value is its own file's, else its plan's, else the default. No secret is in it: a value that hides one
has a mark, which is another one when the secret is another one, within one process.
"""

import hashlib
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from pydantic import BaseModel

from gateway.settings.lines import KeyPath
from gateway.settings.loader import Files, Settings
from gateway.settings.reading import Document
from gateway.settings.tariffs import Known
from gateway.settings.tenant_file import DEFAULT_TERMS, TermsSection
from gateway.settings.translate import key_text

DEFAULT: Final = "default"
HIDDEN: Final = "(hidden)"
_SECRET_KEYS: Final = frozenset({"secret", "secrets", "mark"})
_MARK_KEY: Final = secrets.token_bytes(16)

AnyDocument = Document[Any]


@dataclass(frozen=True, slots=True)
class Value:
    """One key. ``value`` is what JSON can hold, amounts as text; ``source`` is file:line, or ``default``."""

    key: str
    value: Any
    source: str
    mark: str = ""  # of a hidden value: tells whether it is another one

    @property
    def text(self) -> str:
        """The value as one writes it in TOML, nearly."""
        if self.value is None:
            return "-"
        if isinstance(self.value, bool):
            return str(self.value).lower()
        if isinstance(self.value, list):
            return ", ".join(map(str, self.value)) or "(none)"
        if isinstance(self.value, dict):
            return ", ".join(f"{name} = {value}" for name, value in self.value.items()) or "(none)"
        return str(self.value) or '""'


def gateway_values(settings: Settings) -> list[Value]:
    """All of gateway.toml."""
    values = list(_walk(settings.files.gateway, (), settings.files.gateway.content))
    for number, switch in enumerate(settings.switches, 1):
        values = _with_secret(values, f"switch[{number}].secret", switch.secret)
    return values


def tenant_values(settings: Settings, tenant_id: str) -> list[Value]:
    """All that holds for a tenant of the config."""
    files = settings.files
    own = files.tenants[tenant_id]
    plan = files.plans.get(own.content.plan or files.gateway.content.rating.default_plan or "")
    values = _in_force(files, own, *([] if plan is None else [plan]))
    if own.content.plan is None and plan is not None:
        at_default = files.gateway.place(("rating", "default_plan"))
        values = [Value(v.key, plan.file.name, at_default) if v.key == "plan" else v for v in values]
    return _with_secret(values, "webhook.secrets", " ".join(settings.tenants[tenant_id].webhook_secrets))


def plan_values(settings: Settings, name: str) -> list[Value]:
    """All that a plan of the config says, by its file's name, and what holds where it says nothing."""
    return _in_force(settings.files, settings.files.plans[name])


def _in_force(files: Files, *layers: AnyDocument) -> list[Value]:
    values: list[Value] = []
    for name in type(layers[0].content).model_fields:
        if name == "tariff":
            values += _tariffs(files, layers)
            continue
        saying = (layer for layer in layers if getattr(layer.content, name, None) is not None)
        values += _one(next(saying, layers[0]), (), name)
    return values


def _tariffs(files: Files, layers: Sequence[AnyDocument]) -> Iterator[Value]:
    """The chain: a number that the first does not cover is priced by the next."""
    chain: dict[str, str] = {}
    for layer in layers:
        if layer.content.tariff is not None:
            chain.setdefault(layer.content.tariff, layer.place(("tariff",)))
    last = files.gateway.content.rating.default_tariff
    if last is not None:
        chain.setdefault(last, files.gateway.place(("rating", "default_tariff")))
    for number, (name, source) in enumerate(chain.items(), 1):
        yield Value(f"tariff[{number}]", name, source)
        if name in files.tariffs:  # a plan that no tenant has may name one that was not read
            yield from _tariff(f"tariff[{number}]", name, files.tariffs[name])
    if not chain:
        yield Value("tariff", None, DEFAULT)


def _tariff(key: str, name: str, known: Known) -> Iterator[Value]:
    yield Value(f"{key}.rows", len(known.tariff.rates), name)
    yield Value(f"{key}.sha256", known.stamp[:16], name)


def _walk(document: AnyDocument, path: KeyPath, section: BaseModel) -> Iterator[Value]:
    for name in type(section).model_fields:
        yield from _one(document, path, name, section)


def _one(document: AnyDocument, path: KeyPath, name: str, section: BaseModel | None = None) -> Iterator[Value]:
    """A key of a section of a document: a value, or a section with keys of its own."""
    section = document.content if section is None else section
    value = getattr(section, name)
    is_said = name in section.model_fields_set and value is not None
    if value is None and isinstance(section, TermsSection):
        value = DEFAULT_TERMS.get(name)
    at = (*path, name)
    if isinstance(value, BaseModel):
        yield from _walk(document, at, value)
    elif isinstance(value, tuple) and value and isinstance(value[0], BaseModel):
        for index, item in enumerate(value):
            yield from _walk(document, (*at, index), item)
    else:
        source = document.place(at) if is_said else DEFAULT
        if name in _SECRET_KEYS and value is not None:
            yield _hidden(key_text(at), str(value), source)
        else:
            yield Value(key_text(at), _plain(section, name, value), source)


def _plain(section: BaseModel, name: str, value: Any) -> Any:
    """The value as JSON has it, by the model's own word."""
    shown = type(section).model_construct(**{name: value}).model_dump(mode="json", include={name})[name]
    return _without_secret(shown) if name == "url" and isinstance(shown, str) else shown


def _without_secret(url: str) -> str:
    """A URL without what may be a password or a token in it."""
    parts = urlsplit(url)
    if not parts.scheme:
        return url
    query = "?…" if parts.query else ""
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}{query}"


def _with_secret(values: list[Value], key: str, secret: str) -> list[Value]:
    """The values with the secret that is used, wherever it stands: in the file, in another, in the environment."""
    section = key.rpartition(".")[0]
    places = {key, f"{section}.secret_file", f"{section}.secret_env"}
    source = next((value.source for value in values if value.key in places and value.value is not None), "")
    return [_hidden(key, secret, source) if value.key == key and source else value for value in values]


def _hidden(key: str, secret: str, source: str) -> Value:
    mark = hashlib.blake2b(secret.encode(), key=_MARK_KEY, digest_size=8).hexdigest()
    return Value(key, HIDDEN, source, mark)
