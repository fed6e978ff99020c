"""The manager users: what the gateway's may do, what it is sent, and who else can reach it."""

import ipaddress
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from gateway.core.doctor.report import Finding, error, short, warning, whole

FILE: Final = "manager-callgate.conf"
READ: Final = frozenset({"system", "call", "user"})
WRITE: Final = frozenset({"call", "reporting"})
LEAST_WRITE_TIMEOUT_MS: Final = 1000
# What the gateway sends; Asterisk lists an action only to who may use it.
ACTIONS: Final = ("AbsoluteTimeout", "CoreStatus", "Getvar", "Hangup", "PlayDTMF", "Setvar", "Status")
MARK: Final = "CALLGATE_MARK"
_NEEDED_EVENTS: Final = ("FullyBooted", "UserEvent", "DialBegin", "DialEnd", "Newstate", "Hangup")
_PRIVILEGES: Final = re.compile(r"\(Priv: ([a-z,<>]*)\)\s*$")
_FILTER_EVENT: Final = re.compile(r"name\((\w+)\)|\^Event: (\w+)")
_EVERYBODY: Final = frozenset({"", "0.0.0.0", "::"})  # noqa: S104 - what is looked for
_RELOAD: Final = "and run manager reload"

Settings = Sequence[tuple[str, str]]  # names in lower case, in the file's order


@dataclass(frozen=True, slots=True)
class Session:
    """How this gateway would log in."""

    username: str
    secret: str
    address: str  # this end of the connection, as the PBX sees it
    mark: str


# ------------------------------------------------------------------------------------------------- the user's rights


def check_actions(told: Sequence[tuple[str, str]], where: str) -> Iterator[Finding]:
    """By the reply to ListCommands: each action that the user may use, and its classes."""
    names = {name for name, _ in told}
    lacking = [name for name in ACTIONS if name not in names]
    if lacking:
        yield error(
            "user-too-few",
            f"the gateway's user may not use {', '.join(lacking)}",
            where,
            f"give it write = call,reporting in {FILE} (or load the module of the action), {_RELOAD}",
        )
    beyond = [name for name, text in told if not _classes(text) & (WRITE | {"<none>", ""})]
    if beyond:
        yield warning(
            "user-too-many",
            f"the gateway's user may use {len(beyond)} actions that it does not need, such as {', '.join(beyond[:4])}",
            where,
            f"give it write = call,reporting and no more in {FILE}, {_RELOAD}",
        )


def _classes(text: str) -> set[str]:
    found = _PRIVILEGES.search(text)
    return set(found[1].split(",")) if found else {""}


def check_reading(user: Settings, where: str) -> Iterator[Finding]:
    """The classes of events that the user is sent."""
    read = {word.strip() for value in _values(user, "read") for word in value.split(",")} - {""}
    lacking, beyond = READ - read if "all" not in read else set(), read - READ
    if lacking:
        yield error(
            "user-too-few",
            f"the gateway's user is not sent events of {', '.join(sorted(lacking))}",
            where,
            f"give it read = system,call,user in {FILE}, {_RELOAD}",
        )
    if beyond:
        yield warning(
            "user-too-many",
            f"the gateway's user is sent events of {', '.join(sorted(beyond))}, which it does not use",
            where,
            f"give it read = system,call,user and no more in {FILE}, {_RELOAD}",
        )


def check_filters(user: Settings, shipped: Sequence[Settings], where: str) -> Iterator[Finding]:
    """The event filters, beside those that are shipped: ``shipped`` has the newer form and the older one."""
    here = {(name, value.strip()) for name, value in user if name.startswith("eventfilter")}
    wanted = [set(form) for form in shipped]
    if not wanted or any(here == form for form in wanted):
        return
    if not here:
        yield warning(
            "filter-missing",
            "the gateway's user has no event filters: it is sent some 25 events a call",
            where,
            f"copy {FILE} as it is shipped, {_RELOAD}",
        )
        return
    nearest = min(wanted, key=lambda form: len(form ^ here))
    events = {_event_of(entry) for entry in nearest - here}
    remedy = f"copy {FILE} as it is shipped, {_RELOAD}"
    lacking = [name for name in _NEEDED_EVENTS if name in events]
    if lacking:
        yield error("filter-wrong", f"the event filters keep {', '.join(lacking)} away or change it", where, remedy)
    elif nearest - here:
        words = ", ".join(sorted(events))
        yield warning("filter-wrong", f"the event filters lack {words}: caps are mended late", where, remedy)
    for name, value in sorted(here - nearest):
        if _event_of((name, value)) not in events:
            said = short(f"{name} = {value}", 120)
            yield warning("filter-wrong", f"{said} is no event filter that is shipped", where, remedy)


def _event_of(entry: tuple[str, str]) -> str:
    found = _FILTER_EVENT.search(" = ".join(entry))
    return (found[1] or found[2]) if found else entry[1]


# ------------------------------------------------------------------------------------------------------ manager.conf


def check_general(general: Settings, session: Session, where: str) -> Iterator[Finding]:
    """The ``[general]`` of manager.conf."""
    if not _is_true(_last(general, "timestampevents")):
        yield error(
            "timestampevents",
            "events carry no time of the PBX, by which calls are charged",
            where,
            f"add timestampevents = yes to [general] (#include {FILE} does it), {_RELOAD}",
        )
    bind = _last(general, "bindaddr").strip("[]")
    if bind in _EVERYBODY:
        yield warning(
            "port-open",
            f"the manager listens on all addresses ({bind or 'no bindaddr'})",
            where,
            "write bindaddr = 127.0.0.1, or the one address that the gateway reaches, and restart Asterisk",
        )
    if _last(general, "allowmultiplelogin") and not _is_true(_last(general, "allowmultiplelogin")):
        yield error(
            "one-session",
            "a manager user may have one session alone, and the gateway needs two",
            where,
            f"write allowmultiplelogin = yes in [general], {_RELOAD}",
        )
    disabled = {word.strip() for word in _last(general, "disabledevents").split(",")} & set(_NEEDED_EVENTS)
    if disabled:
        yield error(
            "events-disabled",
            f"disabledevents keeps {', '.join(sorted(disabled))} from the gateway",
            where,
            f"take them out of disabledevents, {_RELOAD}",
        )
    marked = MARK in {word.strip() for word in _last(general, "channelvars").split(",")}
    if session.mark and not marked:
        yield error(
            "mark",
            f"the config has a mark, and events do not carry {MARK}: the gateway believes none of them",
            where,
            f"add {MARK} to channelvars in [general], {_RELOAD}; or remove mark from gateway.toml",
        )


def check_user(user: Settings | None, session: Session, where: str, *, is_in: bool) -> Iterator[Finding]:
    """The section of the gateway's user; None: there is none. ``is_in``: it was let in, whatever the rules."""
    if user is None:
        yield error(
            "user-missing",
            f"manager.conf has no user {session.username}",
            where,
            f"end it with #include {FILE}, {_RELOAD}; or mend username in gateway.toml",
        )
        return
    secret = _last(user, "secret")
    if not secret:
        remedy = f"write callgate-secret.conf beside {FILE}, {_RELOAD}"
        yield error("secret-missing", f"the user {session.username} has no secret", where, remedy)
    elif secret != session.secret:
        yield error(
            "secret-wrong",
            f"the secret of {session.username} is another one than that of the gateway's config",
            where,
            f"write that of callgate-secret.conf into gateway.toml, or the other way round, {_RELOAD}",
        )
    if not is_in and not is_permitted(user, session.address):
        yield error(
            "acl",
            f"the user {session.username} may not log in from {session.address}",
            where,
            f"add permit = {session.address} to callgate-secret.conf, {_RELOAD}",
        )
    if not _is_fenced(user):
        remedy = f"deny all and permit the gateway's address, as {FILE} does"
        yield warning("acl", f"the user {session.username} may log in from anywhere", where, remedy)
    timeout = _last(user, "writetimeout")
    if (whole(timeout) or 0) < LEAST_WRITE_TIMEOUT_MS:
        yield warning(
            "writetimeout",
            f"Asterisk drops a session that does not read for {timeout or '100'} ms",
            where,
            f"write writetimeout = 5000 for that user, {_RELOAD}",
        )


def check_doctor(user: Settings, where: str) -> Iterator[Finding]:
    """The section of the doctor's user, where it is there."""
    if user and not _is_fenced(user):
        remedy = f"copy manager-callgate-doctor.conf as it is shipped, {_RELOAD}; remove it afterwards"
        yield warning("acl", "the doctor's user may log in from anywhere", where, remedy)


def _is_fenced(user: Settings) -> bool:
    return any(name in {"deny", "acl"} for name, _ in user)


def is_permitted(user: Settings, address: str) -> bool:
    """By the user's deny and permit: the last that covers the address decides (acl.c, ``ast_apply_ha``)."""
    try:
        ours = ipaddress.ip_address(address)
    except ValueError:
        return True  # not known: a login tells
    allowed = True
    for name, value in user:
        if name in {"deny", "permit"} and any(_covers(part, ours) for part in value.split(",")):
            allowed = name == "permit"
    return allowed


def _covers(text: str, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    told = text.strip()
    is_not = told.startswith("!")
    try:
        network = ipaddress.ip_network(told.lstrip("!").strip(), strict=False)
    except ValueError:
        return False
    return (address.version == network.version and address in network) != is_not


def read_filters(text: str) -> list[Settings]:
    """The event filters of the shipped file: the newer form, and the older one that stands in its comments."""
    forms: tuple[list[tuple[str, str]], list[tuple[str, str]]] = ([], [])
    for line in text.splitlines():
        told = line.strip()
        is_comment = told.startswith(";")
        told = told.lstrip("; ")
        if told.startswith("eventfilter"):
            name, _, value = told.partition("=")
            forms[is_comment].append((name.strip(), value.strip()))
    return [tuple(form) for form in forms if form]


def _values(settings: Settings, name: str) -> list[str]:
    return [value for key, value in settings if key == name]


def _last(settings: Settings, name: str) -> str:
    values = _values(settings, name)
    return values[-1].strip() if values else ""


def _is_true(text: str) -> bool:
    return text.lower() in {"yes", "true", "y", "t", "1", "on"}
