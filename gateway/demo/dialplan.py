"""The include of ``config/asterisk`` as a simulated PBX follows it: what it asks, how it reads a verdict."""

from dataclasses import dataclass

DIALLABLE = frozenset("0123456789+*#")
_TENANT = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")
_VERDICT = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_:+*#")
_FIELDS = 6
_MOST_CAP_DIGITS = 9
_MOST_CAUSE = 127
BAD_VERDICT = ("bad_verdict", 21)


@dataclass(frozen=True, slots=True)
class Include:
    """The admin's settings (``callgate-local.conf``)."""

    wait_seconds: float = 3.0
    continue_on_silence: bool = False
    silence_cap_ms: int = 300_000
    emergency: frozenset[str] = frozenset({"112", "911"})
    free: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Refusal:
    """The include hangs up."""

    reason: str
    cause_q850: int


@dataclass(frozen=True, slots=True)
class Permission:
    """The include returns: dial this. ``cap_ms`` is ``L()``; 0 where nothing is metered."""

    number: str
    cap_ms: int


def may_ask(include: Include, number: str, tenant: str) -> Refusal | Permission | None:
    """What the include decides by itself; None: it asks."""
    if not DIALLABLE.issuperset(number):
        return Refusal("bad_number", 21)
    if not number:
        return Refusal("no_number", 28)
    if number in include.emergency or number in include.free:
        return Permission(number, 0)
    if not _TENANT.issuperset(tenant):
        return Refusal("bad_tenant", 21)
    return None


def read_verdict(nonce: str, text: str) -> Refusal | Permission | None:
    """What ``CALLGATE_VERDICT`` says. None: it is not of this ask, wait on. Not understood: a refusal."""
    if text.split(":", 1)[0] != nonce:
        return None
    fields = text.split(":")
    if not _VERDICT.issuperset(text) or len(fields) != _FIELDS:
        return Refusal(*BAD_VERDICT)
    _, verb, number, cap, reason, cause = fields
    if verb == "deny":
        is_cause = cause.isdecimal() and 1 <= int(cause) <= _MOST_CAUSE
        return Refusal(reason, int(cause) if is_cause else 21)
    is_number = number != "" and DIALLABLE.issuperset(number)
    is_cap = cap.isdecimal() and len(cap) <= _MOST_CAP_DIGITS and int(cap) >= 1
    if is_number and ((verb == "allow" and is_cap) or (verb == "pass" and not cap)):
        return Permission(number, int(cap or 0))
    return Refusal(*BAD_VERDICT)


def on_silence(include: Include, number: str) -> Refusal | Permission:
    """No verdict within the wait: what the admin chose. A cap below 1 ms means refuse."""
    if include.continue_on_silence and include.silence_cap_ms >= 1:
        return Permission(number, include.silence_cap_ms)
    return Refusal("no_verdict", 38)
