"""A leg on a trunk that nobody asked for: an Originate, a call file, a transfer past the gate, an answered number.

Rules:

- It is judged when it is dialled: that is the first event that names number and payer, and nothing costs yet.
- A number that would not be metered for its payer is left alone, and an emergency number always, whoever dialled it.
- A channel that came in is judged at its answer, by the owner of the number it came in on; it is left alone where
  nobody owns that, or where the include let it in without a verdict.
- What the gate would refuse, and what has no payer, is ended. What it would allow is ended or adopted, as the config
  says.
- Where a tenant's calls go on without the ledger, another gateway may have lent to one, and no books know of it yet. So
  a leg that is found, whose caller carries the verdict for it, is left to its cap.
- An adopted leg is a call like any other. The leg stands in for the caller, and the gateway for the dialplan: there is
  no verdict, and its first cap is set at its answer.
- What it had talked before it was found is charged, as far as the money goes.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from fnmatch import fnmatchcase

from gateway.core.call import Call, Terms
from gateway.core.decide import Deny, Pass, decide, e164_of
from gateway.core.facts import UNASKED, Ask, ChannelStatus, Direction, LegDialled
from gateway.core.reasons import Reason
from gateway.core.tenant import NEVER_METERED, DialFormat, Tenant
from gateway.core.verdict import ALLOWED
from rating import NumberError

_DIGITS = re.compile(r"\+?[0-9*#]{1,64}")
# What the include says of a dial that goes out unmetered, in CALLGATE_REASON on the caller.
_WORDS_OF_THE_GATE = frozenset({"emergency", "free", "unmetered", "no_verdict"})


class Unasked(StrEnum):
    """What is done about a metered leg that nobody asked for."""

    ADOPT = "adopt"  # its payer's money is held, and the leg is capped from its answer on
    END = "end"
    IGNORE = "ignore"


@dataclass(frozen=True, slots=True)
class TrunkRules:
    """Which channels of a switch cost money, and what is done about one that nobody asked for."""

    trunks: tuple[str, ...] = ()  # PJSIP/carrier, with * and ? as in a shell: the channel's name up to its last dash
    unasked: Unasked = Unasked.END
    tenant: str = ""  # who pays where the leg's accountcode names nobody

    def watch(self, channel: str) -> bool:
        """Whether a channel of that name is to be judged."""
        endpoint = channel.rpartition("-")[0]
        return self.unasked is not Unasked.IGNORE and any(fnmatchcase(endpoint, trunk) for trunk in self.trunks)


def number_of(dial_string: str) -> str:
    """The number in what Dial or Originate was given after the technology; empty where there is none.

    ``NUMBER@endpoint``, ``endpoint/NUMBER``, ``endpoint/sip:NUMBER@host:port``, ``user@host/NUMBER``.
    """
    before, _, after = dial_string.partition("@")
    parts = re.split(r"[/:@]", dial_string if "/" in after else before)
    return next((part for part in reversed(parts) if _DIGITS.fullmatch(part)), "")


def ask_of(switch: str, dialled: LegDialled, at_ms: int) -> Ask:
    """What a leg would have asked. Its own Uniqueid stands for the caller's."""
    number = number_of(dialled.dial_string)
    return Ask(switch, dialled.leg, UNASKED, number, "", dialled.accountcode, "", at_ms, dialled.leg)


def ask_of_incoming(switch: str, status: ChannelStatus, at_ms: int) -> Ask:
    """What a channel that came in would have asked."""
    known = (switch, status.uniqueid, UNASKED, status.dnid, "", "", "", at_ms, status.uniqueid)
    return Ask(*known, direction=Direction.INBOUND)


def judge(ask: Ask, tenant: Tenant | None, is_emergency: Callable[[str], bool]) -> Deny | Pass | Terms:
    """What the gate would have said, of a number in the form in which the trunk has it."""
    if ask.is_inbound:
        return decide(ask, tenant, ask.at_ms, is_emergency)
    if is_emergency(ask.number):
        return Pass(tenant.tenant_id if tenant else "", ask.number)
    if not ask.number:
        return Deny(Reason.BAD_NUMBER, tenant.tenant_id if tenant else "")
    number = ask.number if tenant is None else _as_dialled(tenant, ask.number)
    return decide(replace(ask, number=number), tenant, ask.at_ms, is_emergency)


def adopted(terms: Terms, dialled: LegDialled, answered_at_ms: int, now_ms: int) -> Call:
    """The call of a leg that is adopted; ``answered_at_ms`` is 0 where it rings."""
    talked_ms = max(0, now_ms - answered_at_ms) if answered_at_ms else 0
    return Call(terms, legs=(dialled,), early_answer_ms=answered_at_ms, early_seconds=-(-talked_ms // 1000))


def went_through_the_gate(caller: ChannelStatus, number: str) -> bool:
    """Whether the include itself let this dial of a caller go out unmetered: nothing was asked, and rightly."""
    reason, dial = caller.variables.get("CALLGATE_REASON"), caller.variables.get("CALLGATE_DIAL")
    return reason in _WORDS_OF_THE_GATE and bool(number) and dial == number


def was_let_in(status: ChannelStatus) -> bool:
    """Whether the include let a channel in without a verdict: it has the cap that the admin chose for that."""
    dial = e164_of(status.variables.get("CALLGATE_DIAL", ""))
    return status.variables.get("CALLGATE_REASON") == "no_verdict" and dial == e164_of(status.dnid)


def was_allowed(caller: ChannelStatus, number: str | None = None) -> bool:
    """Whether a gateway allowed a caller to dial that number, or any: the leg has the cap that this verdict gave it.

    The verdict tells, or what the include has made of it: the word of a gateway that had the switch before may come
    late and stand in the verdict's place. Nobody acts on it, but it is there.
    """
    _, word, dial = (*caller.variables.get("CALLGATE_VERDICT", "").split(":"), "", "")[:3]
    allowed = {dial} if word == "allow" else set()
    if caller.variables.get("CALLGATE_REASON") == ALLOWED:
        allowed.add(caller.variables.get("CALLGATE_DIAL", ""))
    allowed.discard("")
    return bool(allowed) if number is None else number in allowed


def _as_dialled(tenant: Tenant, number: str) -> str:
    """How the tenant would have dialled it: the inverse of ``dial_number``, where that makes sense of it."""
    if _reads_as(tenant, number, is_metered=False):
        return number
    digits = number.removeprefix("+")
    if tenant.dial_format is DialFormat.PREFIX:
        digits = digits.removeprefix(tenant.dial_prefix)
    is_e164 = tenant.dial_format is not DialFormat.DIALLED and _reads_as(tenant, f"+{digits}", is_metered=True)
    return f"+{digits}" if is_e164 else number


def _reads_as(tenant: Tenant, number: str, *, is_metered: bool) -> bool:
    try:
        destination = tenant.plan.resolve(number)
    except NumberError:
        return False
    return (destination.call_class not in NEVER_METERED) is is_metered
