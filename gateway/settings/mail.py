"""The mail server's settings. Its password is never in gateway.toml, which people copy and show."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Final

from gateway.settings.api import is_loopback
from gateway.settings.gateway_file import GatewayFile, MailSection
from gateway.settings.reading import Document, is_file
from gateway.settings.secrets import secret_from_environment, secret_from_file

_PORTS: Final[Mapping[str, int]] = MappingProxyType({"starttls": 587, "tls": 465, "none": 25})


@dataclass(frozen=True, slots=True)
class MailSettings:
    """``tls`` is ``starttls``, ``tls`` or ``none``. With no username nobody logs in."""

    host: str
    port: int
    tls: str
    ca_file: Path | None
    sender: str
    username: str | None
    password: str | None = field(repr=False)
    timeout_seconds: int


def read_mail(document: Document[GatewayFile]) -> MailSettings | None:
    """The mail server, None where there is none; problems are noted."""
    section = document.content.mail
    if section is None:
        return None
    _check_way(document, section)
    return MailSettings(
        host=section.host,
        port=section.port or _PORTS[section.tls],
        tls=section.tls,
        ca_file=None if section.ca_file is None else document.reading.path(section.ca_file),
        sender=section.sender,
        username=section.username,
        password=_password(document, section),
        timeout_seconds=section.timeout_seconds,
    )


def _check_way(document: Document[GatewayFile], section: MailSection) -> None:
    if section.ca_file is not None:
        file = document.reading.path(section.ca_file)
        if section.tls == "none":
            document.wrong(("mail", "ca_file"), "without TLS there is no certificate", "remove it, or write tls")
        elif not is_file(file):
            document.wrong(("mail", "ca_file"), f"there is no file {file}", "name the file, in PEM")
    if section.tls == "none" and not is_loopback(section.host):
        if section.username is None:
            what = "notices go over the network in the clear"
            document.warn(("mail", "tls"), what, 'write "starttls" or "tls"')
        else:
            what = "the password would cross the network in the clear"
            document.wrong(("mail", "tls"), what, 'write "starttls" or "tls"')


def _password(document: Document[GatewayFile], section: MailSection) -> str | None:
    given = [name for name in ("password_file", "password_env") if getattr(section, name) is not None]
    if section.username is None:
        if given:
            document.wrong(("mail", given[0]), "there is no username beside it", "write username, too, or remove it")
        return None
    if len(given) != 1:
        what = "there is no password" if not given else "the password stands in two places"
        document.wrong(("mail", "username"), what, "write exactly one of password_file, password_env")
        return None
    place = ("mail", given[0])
    if section.password_file is not None:
        text = secret_from_file(document, place, section.password_file)
    else:
        text = secret_from_environment(document, place, section.password_env or "")
    if text is None:
        return None
    password = text.strip()
    if not password or not password.isprintable():
        document.wrong(place, "the password is empty, or no single line", "put it there, on one line")
    return password
