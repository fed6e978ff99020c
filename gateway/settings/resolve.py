"""Every value that is in force, and where it comes from. It follows the models: a new section shows up by itself.

A tenant's value is its own file's, else its plan's, else the default. No secret is in it: a value that hides one
has a mark, which is another one when the secret is another one, within one process.
"""

import hashlib
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from pydantic import BaseModel

from gateway.settings.gateway_file import GatewayFile
from gateway.settings.lines import KeyPath
from gateway.settings.loader import Settings
from gateway.settings.reading import Document, Model, Reading, Source
from gateway.settings.tariffs import Known
from gateway.settings.tenant_file import BY_NAME, DEFAULT_TERMS, PlanFile, TenantFile, TermsSection
from gateway.settings.translate import key_text

DEFAULT: Final = "default"
HIDDEN: Final = "(hidden)"
_SECRET_KEYS: Final = frozenset({"secret", "secrets", "mark"})
_MARK_KEY: Final = secrets.token_bytes(16)

_DEFAULT_TERMS: Final = TermsSection.model_construct(**DEFAULT_TERMS).model_dump(mode="json")

AnyDocument = Document[Any]


class Said(NamedTuple):
    """A key of a file."""

    document: Document[Any]
    at: KeyPath


@dataclass(frozen=True, slots=True)
class Value:
    """One key. ``value`` is what JSON can hold, amounts as text."""

    key: str
    value: Any
    said: Said | None = field(default=None, repr=False)  # None: it is the default
    mark: str = ""  # of a hidden value: tells whether it is another one

    @property
    def source(self) -> str:
        """Where it comes from: file:line, or ``default``. Lines are searched for only when this is asked."""
        return DEFAULT if self.said is None else self.said.document.place(self.said.at)

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


class InForce:
    """The values of one config. What several tenants have in common is read once."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._files = settings.files
        self._gateway = self._document(settings.files.gateway, GatewayFile)
        self._plans: dict[str, Document[PlanFile]] = {}

    def gateway(self) -> list[Value]:
        """All of gateway.toml."""
        values = list(_walk(_Part(self._gateway, (), self._gateway.content)))
        for switch in self._settings.switches:
            values = _with_secret(values, f"switch.{switch.name}.secret", switch.secret)
        return values

    def tenant(self, tenant_id: str) -> list[Value]:
        """All that holds for a tenant of the config."""
        own = self._document(self._files.tenants[tenant_id], TenantFile)
        plan = own.content.plan or self._gateway.content.rating.default_plan
        values = self._terms(own) if plan is None else self._terms(own, self._plan(plan))
        if own.content.plan is None and plan is not None:
            said = Said(self._gateway, ("rating", "default_plan"))
            values = [Value("plan", plan, said) if value.key == "plan" else value for value in values]
        if own.content.inbound is not None:
            values += _files_of_inbound(self._files.tariffs, own, own.content.inbound.tariff)
        return _with_secret(values, "webhook.secrets", " ".join(self._settings.tenants[tenant_id].webhook_secrets))

    def plan(self, name: str) -> list[Value]:
        """All that a plan of the config says, by its file's name, and what holds where it says nothing."""
        return self._terms(self._plan(name))

    def _plan(self, name: str) -> Document[PlanFile]:
        if name not in self._plans:
            self._plans[name] = self._document(self._files.plans[name], PlanFile)
        return self._plans[name]

    def _document(self, source: Source, model: type[Model]) -> Document[Model]:
        """What was read of a file when the config was: it was right then."""
        document = Reading(self._files.folder, {}).parse(Path(source.file), source.text, model)
        assert document is not None, "a config in force has no wrong file"
        return document

    def _terms(self, *layers: AnyDocument) -> list[Value]:
        """What the first layer has or, where it does not say it, the next."""
        parts = [_Part(layer, (), layer.content) for layer in layers]
        values: list[Value] = []
        for name in type(layers[0].content).model_fields:
            if name == "tariff":
                values += _tariffs(self._files.tariffs, self._gateway, layers)
            elif name in BY_NAME:
                values += _by_name(name, parts)
            else:
                values += _first(name, parts)
        return values


def _first(name: str, parts: list["_Part"]) -> Iterator[Value]:
    """A key of the first that says it; of a section that several say, each of its keys."""
    saying = [part for part in parts if getattr(part.section, name, None) is not None]
    below = [part.below(name) for part in saying if isinstance(getattr(part.section, name), BaseModel)]
    if not below:
        yield from _one(saying[0] if saying else parts[0], name)
        return
    for key in type(below[0].section).model_fields:
        saying = [part for part in below if getattr(part.section, key) is not None]
        yield from _one(saying[0] if saying else below[0], key)


def _by_name(name: str, parts: list["_Part"]) -> Iterator[Value]:
    """A list whose items are the plan's, each in its place, but for those that the tenant has under the same name."""
    chosen: dict[str, _Part] = {}
    for part in reversed(parts):
        for index, item in enumerate(getattr(part.section, name) or ()):
            chosen[item.name] = _Part(part.document, (*part.path, name, index), item)
    for item_name, part in chosen.items():
        yield from _item(part, (name, item_name))
    if not chosen:
        yield from _one(parts[0], name)


@dataclass(frozen=True, slots=True)
class _Part:
    """A section of a file, and the path to it."""

    document: AnyDocument
    path: KeyPath
    section: BaseModel

    def below(self, name: str) -> "_Part":
        return _Part(self.document, (*self.path, name), getattr(self.section, name))


def _tariffs(
    known: Mapping[str, Known], gateway: Document[GatewayFile], layers: Sequence[AnyDocument]
) -> Iterator[Value]:
    """The chain: a number that the first does not cover is priced by the next."""
    chain: dict[str, Said] = {}
    for layer in layers:
        if layer.content.tariff is not None:
            chain.setdefault(layer.content.tariff, Said(layer, ("tariff",)))
    last = gateway.content.rating.default_tariff
    if last is not None:
        chain.setdefault(last, Said(gateway, ("rating", "default_tariff")))
    for number, (name, said) in enumerate(chain.items(), 1):
        key = f"tariff[{number}]"
        yield Value(key, name, said)
        if name in known:  # a plan that no tenant has may name one that was not read
            yield Value(f"{key}.rows", len(known[name].tariff.rates), said)
            yield Value(f"{key}.sha256", known[name].stamp[:16], said)
    if not chain:
        yield Value("tariff", None)


def _files_of_inbound(known: Mapping[str, Known], own: AnyDocument, name: str) -> Iterator[Value]:
    said = Said(own, ("inbound", "tariff"))
    yield Value("inbound.tariff.rows", len(known[name].tariff.rates), said)
    yield Value("inbound.tariff.sha256", known[name].stamp[:16], said)


def _walk(part: _Part, shown: KeyPath | None = None) -> Iterator[Value]:
    for name in type(part.section).model_fields:
        yield from _one(part, name, shown)


def _item(part: _Part, shown: KeyPath) -> Iterator[Value]:
    """One of a list, told by its name, as its place says nothing; a bound that it does not have is no value."""
    yield from (value for value in _walk(part, shown) if value.value is not None and not value.key.endswith(".name"))


def _one(part: _Part, name: str, shown: KeyPath | None = None) -> Iterator[Value]:
    """A key of a section: a value, or a section with keys of its own. ``shown`` is the section's path as it is told."""
    value, at = getattr(part.section, name), (*part.path, name)
    told = at if shown is None else (*shown, name)
    if isinstance(value, BaseModel):
        yield from _walk(_Part(part.document, at, value), told)
    elif isinstance(value, tuple) and value and isinstance(value[0], BaseModel):
        for index, item in enumerate(value):
            yield from _item(_Part(part.document, (*at, index), item), (*told, getattr(item, "name", index)))
    elif value is None and isinstance(part.section, TermsSection):
        yield Value(key_text(told), _DEFAULT_TERMS.get(name))
    else:
        said = Said(part.document, at) if name in part.section.model_fields_set else None
        yield _value(key_text(told), name, value, _plain(part.section, name), said)


def _plain(section: BaseModel, name: str) -> Any:
    """The value as JSON has it, by the model's own word."""
    return section.model_dump(mode="json", include={name})[name]


def _value(key: str, name: str, value: Any, plain: Any, said: Said | None) -> Value:
    if name in _SECRET_KEYS and value is not None:
        return _hidden(key, str(value), said)
    if name == "url" and isinstance(plain, str):
        return _without_secret(key, plain, said)
    return Value(key, plain, said)


def _without_secret(key: str, url: str, said: Said | None) -> Value:
    """A URL without what may be a password or a token in it. Changes are logged: a webhook's path often is one."""
    parts = urlsplit(url)
    if not parts.scheme:
        return Value(key, url, said)
    query = "?…" if parts.query else ""
    path = "/…" if parts.scheme in {"http", "https"} and parts.path.strip("/") else parts.path
    shown = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{path}{query}"
    return Value(key, shown, said, _mark(url))


def _with_secret(values: list[Value], key: str, secret: str) -> list[Value]:
    """The values with the secret that is used, wherever it stands: in the file, in another, in the environment."""
    section = key.rpartition(".")[0]
    places = {key, f"{section}.secret_file", f"{section}.secret_env"}
    said = next((value.said for value in values if value.key in places and value.value is not None), None)
    if said is None:
        return values
    hidden = _hidden(key, secret, said)
    is_there = any(value.key == key for value in values)
    return [hidden if value.key == key else value for value in values] + ([] if is_there else [hidden])


def _hidden(key: str, secret: str, said: Said | None) -> Value:
    return Value(key, HIDDEN, said, _mark(secret))


def _mark(secret: str) -> str:
    return hashlib.blake2b(secret.encode(), key=_MARK_KEY, digest_size=8).hexdigest()
