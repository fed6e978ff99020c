"""What several dashboards say alike: groups of reasons, thresholds, and the few forms that expressions have."""

from typing import Final

from gateway.core.reasons import Reason

OVERVIEW, TENANT, INTERNALS, FRAUD = "callgate-overview", "callgate-tenant", "callgate-internals", "callgate-fraud"
RATE: Final = "$__rate_interval"
SW: Final = 'switch=~"$switch"'
EACH: Final = "{{switch}} {{instance}}"  # a legend
SMOOTH: Final = "15m"  # of ratios of calls, as the recording rules have it; what those record cannot be summed anew
NEVER_SECONDS: Final = 366 * 86_400
NOT_IN_SIGHT: Final = (float(NEVER_SECONDS), "not in sight")
RUNS_DRY: Final = ((None, "red"), (900, "orange"), (4 * 3600, "green"))  # red from where the alert is
VERDICT_SECONDS: Final = ((None, "green"), (0.025, "orange"), (0.25, "red"))  # the usual one takes 1 to 5 ms


def one_of(*reasons: Reason) -> str:
    """Those refusals, for a selector."""
    return f'decision="deny", reason=~"{"|".join(reason.value for reason in reasons)}"'


DECISIONS: Final = {"allow": "green", "pass": "blue", "deny": "orange", "late": "red", "unsent": "dark-red"}
DENIED: Final = 'decision="deny"'
OUR_FAULT: Final = one_of(Reason.LEDGER_UNAVAILABLE, Reason.OVERLOAD, Reason.BAD_ASK)
UNTOLD: Final = 'decision=~"late|unsent"'
NOBODY: Final = one_of(Reason.UNKNOWN_TENANT, Reason.NOT_OWNED)
LIMITED: Final = one_of(
    Reason.CONCURRENT_CALLS, Reason.CALL_RATE, Reason.SPEND_LIMIT, Reason.MINUTES_LIMIT, Reason.RATE_TOO_HIGH,
    Reason.OUTSIDE_HOURS,
)  # fmt: skip
SUSPECT: Final = one_of(
    Reason.PAUSED, Reason.QUARANTINED, Reason.NEW_COUNTRY, Reason.BARRED_PREFIX, Reason.RATE_TOO_HIGH, Reason.CALL_RATE,
    Reason.UNASKED,
)  # fmt: skip


def of(metric: str, *where: str) -> str:
    """Those of a metric's series that fit."""
    fits = ", ".join(each for each in where if each)
    return f"{metric}{{{fits}}}" if fits else metric


def rate(metric: str, by: str = "", *, within: str = RATE, times: int = 1) -> str:
    """What a counter grows by a second, or in so many seconds, by labels; of all gateways together."""
    return _summed(f"rate({metric}[{within}])", by) + (f" * {times}" if times > 1 else "")


def grown(metric: str, by: str = "", *, within: str) -> str:
    """What a counter grew by within a time, by labels; of all gateways together."""
    return _summed(f"increase({metric}[{within}])", by)


def quantile(part: float, histogram: str, *where: str, by: str = "", within: str = RATE) -> str:
    """A quantile of what a histogram has seen, by a further label where one is named."""
    buckets = rate(of(f"{histogram}_bucket", *where), f"le, {by}" if by else "le", within=within)
    return f"histogram_quantile({part}, {buckets})"


def most(count: int, expr: str) -> str:
    """The largest few."""
    return f"topk({count}, {expr})"


def answer_seizure_ratio(by: str, *where: str, within: str = SMOOTH) -> str:
    """Answered calls per attempt (ITU-T E.411): no figure where nobody called."""
    answered, attempts = (
        rate(of(metric, *where), by, within=within)
        for metric in ("callgate_calls_answered_total", "callgate_call_attempts_total")
    )
    return f"{answered} / ({attempts} > 0)"


def average_call_duration(by: str, *where: str, within: str = SMOOTH) -> str:
    """Seconds from answer to end per answered call: no figure where nobody answered."""
    talked, answered = (
        rate(of(metric, *where), by, within=within)
        for metric in ("callgate_talked_seconds_total", "callgate_calls_answered_total")
    )
    return f"{talked} / ({answered} > 0)"


def seconds_to_zero(*where: str) -> str:
    """By tenant, at most a year: one that spends nothing has no end in sight. All gateways see the same accounts."""
    return f"clamp_max(min by (tenant) ({of('callgate_seconds_to_zero', *where)}), {NEVER_SECONDS})"


def _summed(expr: str, by: str) -> str:
    return f"sum by ({by}) ({expr})" if by else f"sum({expr})"
