"""Why a call was refused, in one stable code each, with the Q.850 cause the PBX hangs up with.

PJSIP turns the cause into a SIP status (measured on Asterisk 22.10): 1 -> 404, 21 -> 403, 28 -> 484, 38 -> 500. A
refusal by policy is a 403 and never a 503, so that an upstream does not try another carrier with it. A tenant may have
a 402 for want of credit. What each means to an admin stands in config/asterisk/REASONS.md.
"""

from enum import StrEnum

UNALLOCATED_NUMBER = 1
NORMAL_CLEARING = 16
CALL_REJECTED = 21
INVALID_NUMBER_FORMAT = 28
NETWORK_OUT_OF_ORDER = 38


class Reason(StrEnum):
    """Stable codes: they stand in verdicts, logs, metrics and CDRs."""

    NO_CREDIT = "no_credit"
    UNKNOWN_TENANT = "unknown_tenant"
    NOT_OWNED = "not_owned"  # an inbound number that no tenant owns, or another than the dialplan names
    ACCOUNT_CLOSED = "account_closed"
    BAD_NUMBER = "bad_number"
    BARRED = "barred"  # the plan sells no calls of this class
    BARRED_PREFIX = "barred_prefix"  # nor to this prefix
    OUTSIDE_HOURS = "outside_hours"
    RATE_TOO_HIGH = "rate_too_high"  # a minute costs more than a limit allows
    CONCURRENT_CALLS = "concurrent_calls"
    CALL_RATE = "call_rate"  # too many calls in too short a time
    SPEND_LIMIT = "spend_limit"
    MINUTES_LIMIT = "minutes_limit"
    PAUSED = "paused"  # a guard tripped; it passes
    QUARANTINED = "quarantined"  # until a person lifts it
    NEW_COUNTRY = "new_country"  # held until a person allows it
    NO_RATE = "no_rate"
    BAD_ASK = "bad_ask"
    OVERLOAD = "overload"
    LEDGER_UNAVAILABLE = "ledger_unavailable"
    UNASKED = "unasked"  # a leg on a trunk for which nobody asked
    LONGEST_CALL = "longest_call"  # no refusal: the tariff ends the call there
    VERDICT_LATE = "verdict_late"  # never sent: the dialplan had decided by itself

    @property
    def cause_q850(self) -> int:
        """The Q.850 cause that the dialplan gives to ``Hangup()``."""
        return _CAUSES.get(self, CALL_REJECTED)


_CAUSES = {
    Reason.NOT_OWNED: UNALLOCATED_NUMBER,
    Reason.BAD_NUMBER: INVALID_NUMBER_FORMAT,
    Reason.LEDGER_UNAVAILABLE: NETWORK_OUT_OF_ORDER,
    Reason.OVERLOAD: NETWORK_OUT_OF_ORDER,
}
