"""The API's settings: where it listens, and the file of its tokens."""

import ipaddress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

from pydantic import Field, StringConstraints

from gateway.core.access import Keyring, Role, Token
from gateway.settings.gateway_file import ApiSection, GatewayFile
from gateway.settings.reading import Document, is_file
from gateway.settings.sections import MOST_ITEMS, Name, Section, key

_LOCALHOST: Final = "localhost"


class TokenSection(Section):
    """One token. ``callgate token make`` prints such a section."""

    name: Name = key("a name of letters, digits, dots, dashes and underscores, at most 64", '"billing"')
    roles: Annotated[frozenset[Role], Field(min_length=1)] = key(
        "what it may do, in a list: read, operate, bill", '["bill"]'
    )
    tenants: frozenset[Name] | None = key(
        "the tenants that it sees, in a list; all of them where this is left out", '["acme"]', None, min_length=1
    )
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")] = key(
        "the hash that callgate token make printed, 64 hexadecimal digits", '"9f86d0…"'
    )


class TokensFile(Section):
    """The whole of a tokens' file."""

    token: Annotated[tuple[TokenSection, ...], Field(max_length=MOST_ITEMS)] = key(
        "one section for each token", "[[token]]", ()
    )


@dataclass(frozen=True, slots=True)
class ApiSettings:
    """``is_on``: a file of tokens was named. ``tls_cert`` and ``tls_key``: both or none."""

    is_on: bool
    host: str
    port: int
    tls_cert: Path | None
    tls_key: Path | None
    audit_file: Path
    requests_per_second: int
    keyring: Keyring


def read_api(document: Document[GatewayFile], tenants: frozenset[str]) -> ApiSettings:
    """The API's settings; problems are noted."""
    section, path = document.content.api, document.reading.path
    _check_reach(document, section)
    return ApiSettings(
        is_on=section.tokens_file is not None,
        host=section.host,
        port=section.port,
        tls_cert=None if section.tls_cert is None else path(section.tls_cert),
        tls_key=None if section.tls_key is None else path(section.tls_key),
        audit_file=path(document.content.written(section.audit_file, "api-audit.jsonl")),
        requests_per_second=section.requests_per_second,
        keyring=_keyring(document, section.tokens_file, tenants),
    )


def is_loopback(host: str) -> bool:
    """Whether nobody but this machine reaches what listens there. A name is none, as it may be anything later."""
    try:
        return host == _LOCALHOST or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _check_reach(document: Document[GatewayFile], section: ApiSection) -> None:
    given = {"tls_cert": section.tls_cert, "tls_key": section.tls_key}
    for name, other in (("tls_cert", "tls_key"), ("tls_key", "tls_cert")):
        file = given[name]
        if file is not None and given[other] is None:
            document.wrong(("api", name), f"there is no {other} to it", f"write {other}, too")
        elif file is not None and not is_file(document.reading.path(file)):
            document.wrong(("api", name), f"there is no file {document.reading.path(file)}", "name the file, in PEM")
    if section.tls_key is not None:
        key_file = document.reading.path(section.tls_key)
        document.reading.warn_if_readable(key_file, None, "")
    if section.tokens_file and not (section.tls_cert or section.insecure or is_loopback(section.host)):
        what = "tokens would cross the network in the clear"
        document.wrong(("api", "host"), what, "write tls_cert and tls_key, or 127.0.0.1, or insecure = true")


def _keyring(document: Document[GatewayFile], name: str | None, tenants: frozenset[str]) -> Keyring:
    if name is None:
        return Keyring()
    remedy = "make tokens with `callgate token make`, and put what it prints into this file"
    found = document.reading.document(document.reading.path(name), TokensFile, remedy)
    if found is None:
        return Keyring()
    names: set[str] = set()
    hashes: set[str] = set()
    for index, section in enumerate(found.content.token):
        _check_token(found, index, section, tenants)
        if section.name in names:
            found.wrong(("token", index, "name"), f"there is a token {section.name} already", "give each its own name")
        if section.sha256 in hashes:
            found.wrong(("token", index, "sha256"), "another token has this hash", "make a token for each")
        names.add(section.name)
        hashes.add(section.sha256)
    if not found.content.token:
        found.warn((), "there is no [[token]]: nobody can use the API", "make one with `callgate token make`")
    return Keyring(_token(section) for section in found.content.token)


def _check_token(found: Document[TokensFile], index: int, section: TokenSection, tenants: frozenset[str]) -> None:
    unknown = sorted((section.tenants or frozenset()) - tenants)
    if unknown:
        what = f"there is no tenant {', '.join(unknown)}"
        found.warn(("token", index, "tenants"), what, "write tenants of the config; this token sees the others only")


def _token(section: TokenSection) -> Token:
    return Token(section.name, section.roles, section.tenants, bytes.fromhex(section.sha256))
