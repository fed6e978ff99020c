"""Fraud: is an attack under way, on whom, and what was done about it."""

from typing import Final

from .grafana import Dashboard, Row, variable
from .panels import (
    FEW_WANTED,
    MONEY,
    NONE_WANTED,
    PER_MINUTE,
    Column,
    series,
    stat,
    table,
    to_dashboard,
)
from .words import (
    FRAUD,
    NOBODY,
    RATE,
    SUSPECT,
    TENANT,
    answer_seizure_ratio,
    average_call_duration,
    grown,
    most,
    of,
    rate,
)

ASKS: Final = "callgate_authorizations_total"
WHO: Final = 'tenant=~"$tenant"'
REFUSED_IN_AN_HOUR: Final = grown(of(ASKS, WHO, SUSPECT), "tenant, reason", within="1h")
ABOVE_USUAL: Final = ((None, "green"), (5, "orange"), (20, "red"))
OF_TENANT: Final = to_dashboard(TENANT, "This tenant", "&var-tenant=${__value.raw}")


def spent(by: str, within: str) -> str:
    """Money an hour, by labels, as the mean of a time. A currency is always among them: sums know one alone."""
    return rate(of("callgate_charged_total", WHO), f"{by}, currency", within=within, times=3600)


def usual(by: str) -> str:
    """Money an hour as the mean of a day; nothing of what was not there a day ago: its mean would be too low."""
    return f"({spent(by, '1d')} > 0 and sum by ({by}, currency) ({of('callgate_charged_total', WHO)} offset 1d))"


def above_usual(by: str) -> str:
    """How many times the mean of the last day the last ten minutes cost; 1 is as usual."""
    return f"{spent(by, '10m')} / {usual(by)}"


TILES: Final = Row(
    "Is an attack under way?",
    4,
    (
        stat(
            "Refused as suspect, 5 min",
            "Asks of five minutes that a guard, a restraint, a dial rate, a price cap or a barred prefix refused.",
            grown(of(ASKS, WHO, SUSPECT), within="5m"),
            steps=((None, "green"), (1, "orange"), (20, "red")),
            decimals=0,
            runbook="CallgateFraudRefused",
        ),
        stat(
            "Tenants paused",
            "Tenants that are paused or quarantined now; callgate lift, when the phone is clean.",
            "max(callgate_tenants_paused)",
            steps=FEW_WANTED,
        ),
        stat(
            "Restraints, 24 h",
            "Restraints that guards or a person put on tenants and callers in the last day.",
            grown(of("callgate_restraints_total", WHO), within="1d"),
            steps=FEW_WANTED,
            decimals=0,
            runbook="CallgateGuardTripped",
        ),
        stat(
            "Times the usual",
            "The tenant and class of call whose ten minutes cost the most against their mean of a day; no new ones.",
            f"max({above_usual('tenant, call_class')})",
            "none",
            steps=ABOVE_USUAL,
            decimals=1,
        ),
        stat(
            "Legs nobody asked for, 1 h",
            "Legs on metered trunks that passed no gate: an Originate, a call file, a transfer past it.",
            grown(of("callgate_unasked_total", 'outcome=~"adopted|ended"'), within="1h"),
            steps=NONE_WANTED,
            decimals=0,
            runbook="CallgateLegsUnasked",
        ),
        stat(
            "For nobody, 1 h",
            "Asks of the hour that named no tenant, or a number none owns: a wrong dialplan, or somebody who tries.",
            grown(of(ASKS, NOBODY), within="1h"),
            steps=FEW_WANTED,
            decimals=0,
            runbook="CallgateCallsMisconfigured",
        ),
    ),
)

REFUSALS: Final = Row(
    "What was refused",
    9,
    (
        series(
            "Refusals as suspect, by reason",
            "Refusals a minute by the reasons that point to fraud; config/asterisk/REASONS.md says what to do on each.",
            (rate(of(ASKS, WHO, SUSPECT), "reason", times=60), "{{reason}}"),
            unit=PER_MINUTE,
            stacked=True,
            runbook="CallgateFraudRefused",
        ),
        series(
            "Refusals as suspect, by tenant",
            "The ten tenants with the most such refusals a minute.",
            (most(10, rate(of(ASKS, WHO, SUSPECT), "tenant", times=60)), "{{tenant}}"),
            unit=PER_MINUTE,
            stacked=True,
        ),
        table(
            "Refused as suspect in the last hour",
            "Who was refused by the reasons that point to fraud, and how often.",
            ("tenant", "reason"),
            Column(
                "refused", most(30, f"{grown(of(ASKS, WHO, SUSPECT), 'tenant, reason', within='1h')} > 0"), decimals=0
            ),
            sort="refused",
            links={"tenant": OF_TENANT},
        ),
    ),
)

SPEND: Final = Row(
    "Spending against the usual",
    10,
    (
        series(
            "Charged an hour, by class",
            "Money that calls are charged, as an hourly rate: a class that leaps up is the sign of a hacked phone.",
            (f"{spent('call_class', RATE)} > 0", "{{call_class}} {{currency}}"),
            unit=MONEY,
            scale="symlog",
        ),
        series(
            "Times the usual, by class",
            "What the last ten minutes cost against the mean of the last day, by class of call; 1 is as usual.",
            (above_usual("call_class"), "{{call_class}} {{currency}}"),
            unit="none",
            steps=((None, "text"), (5, "orange")),
        ),
        table(
            "Who spends more than usual",
            "Tenants and classes by what their last ten minutes cost against their mean of the last day.",
            ("tenant", "call_class", "currency"),
            Column("times usual", above_usual("tenant, call_class"), "none", ABOVE_USUAL, decimals=1),
            Column("an hour, now", f"{spent('tenant, call_class', '10m')} > 0", MONEY),
            Column("an hour, usually", usual("tenant, call_class"), MONEY),
            sort="times usual",
            links={"tenant": OF_TENANT},
        ),
    ),
)

PATTERNS: Final = Row(
    "What was done, and patterns of calls",
    9,
    (
        series(
            "Restraints by kind",
            "Restraints of the hour before that guards or a person put, by kind.",
            (grown(of("callgate_restraints_total", WHO), "kind", within="1h"), "{{kind}}"),
            stacked=True,
            runbook="CallgateGuardTripped",
        ),
        series(
            "Answer-seizure ratio, by class",
            "Answered calls per attempt, by class: numbers dialled in a row are seldom answered.",
            (answer_seizure_ratio("call_class", WHO), "{{call_class}}"),
            unit="percentunit",
            most=1,
        ),
        series(
            "Average call duration, by class",
            "Seconds from answer to end per answered call, by class: pumped traffic is very short, or very long.",
            (average_call_duration("call_class", WHO), "{{call_class}}"),
            unit="s",
        ),
    ),
)

INBOUND: Final = Row(
    "Inbound numbers: who pays for calls that come in",
    9,
    (
        series(
            "Calls that came in, by number",
            "The ten owned numbers with the most verdicts a minute: a toll-free number that is pumped costs its owner.",
            (most(10, rate(of("callgate_inbound_authorizations_total", WHO), "number", times=60)), "{{number}}"),
            unit=PER_MINUTE,
        ),
        series(
            "Charged an hour, by number",
            "The ten owned numbers whose calls cost the most, as an hourly rate in units of the currency.",
            (
                most(10, rate(of("callgate_inbound_charged_total", WHO), "number, currency", times=3600)),
                "{{number}} {{currency}}",
            ),
            unit=MONEY,
        ),
        series(
            "Talked at a time, by number",
            "The ten owned numbers with the most settled seconds a second, that is calls at a time, as a mean.",
            (most(10, rate(of("callgate_inbound_billed_seconds_total", WHO), "number")), "{{number}}"),
        ),
    ),
)

DASHBOARD: Final = Dashboard(
    FRAUD,
    "callgate: fraud",
    "Whether an attack is under way, on whom, and what was done about it.",
    (TILES, REFUSALS, SPEND, PATTERNS, INBOUND),
    variables=(variable("tenant", "Tenant", ASKS),),
    since="now-3h",
)
