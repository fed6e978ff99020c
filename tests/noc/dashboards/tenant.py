"""One tenant: its money, its calls, and what it was refused."""

from typing import Final

from .grafana import Dashboard, Row, variable
from .panels import (
    FEW_WANTED,
    MONEY,
    PER_MINUTE,
    series,
    stat,
)
from .words import (
    DECISIONS,
    DENIED,
    LIMITED,
    NOT_IN_SIGHT,
    RUNS_DRY,
    SUSPECT,
    TENANT,
    answer_seizure_ratio,
    average_call_duration,
    grown,
    of,
    rate,
    seconds_to_zero,
)

ASKS: Final = "callgate_authorizations_total"
THIS: Final = 'tenant="$tenant"'
LOOKED_AT: Final = "$__range"
BALANCE, HELD = (f"max by (currency) ({of(metric, THIS)})" for metric in ("callgate_balance", "callgate_held"))

TILES: Final = Row(
    "$tenant",
    4,
    (
        stat(
            "Balance",
            "Credit of the account now, in units of its currency; live calls hold a part of it.",
            BALANCE,
            MONEY,
            legend="{{currency}}",
            steps=((None, "red"), (0.000001, "green")),
        ),
        stat("Held", "What live calls hold of it now, until they settle.", HELD, MONEY, legend="{{currency}}"),
        stat(
            "Time to zero",
            "How long the credit lasts at the present rate of spending.",
            seconds_to_zero(THIS),
            "s",
            steps=RUNS_DRY,
            above=NOT_IN_SIGHT,
        ),
        stat(
            "Charged",
            "What its calls were charged over the time that is looked at; the journal has the exact sum.",
            grown(of("callgate_charged_total", THIS), "currency", within=LOOKED_AT),
            MONEY,
            legend="{{currency}}",
        ),
        stat(
            "Refused",
            "Asks that were refused over the time that is looked at.",
            grown(of(ASKS, THIS, DENIED), within=LOOKED_AT),
            steps=FEW_WANTED,
            decimals=0,
        ),
        stat(
            "Refused by limits",
            "Those of them that a limit refused: calls at a time, dials, spend, minutes, price, hours.",
            grown(of(ASKS, THIS, LIMITED), within=LOOKED_AT),
            steps=FEW_WANTED,
            decimals=0,
        ),
        stat(
            "Answer-seizure ratio",
            "Answered calls per attempt over the time that is looked at.",
            answer_seizure_ratio("", THIS, within=LOOKED_AT),
            "percentunit",
        ),
        stat(
            "Average call duration",
            "Seconds from answer to end per answered call over the time that is looked at.",
            average_call_duration("", THIS, within=LOOKED_AT),
            "s",
        ),
    ),
)

FUNDS: Final = Row(
    "Money",
    9,
    (
        series(
            "Balance, and what is held of it",
            "Credit, what live calls hold of it, and what is left to begin a call with, in units of the currency.",
            (BALANCE, "balance {{currency}}"),
            (HELD, "held {{currency}}"),
            (f"{BALANCE} - {HELD}", "available {{currency}}"),
            unit=MONEY,
            signed=True,
        ),
        series(
            "Time to zero, then",
            "How long the credit lasted at the rate of spending of that time; a year stands for all that is longer.",
            (seconds_to_zero(THIS), "time to zero"),
            unit="s",
            scale="log",
        ),
        series(
            "Charged an hour, by class",
            "Money that its calls are charged, as an hourly rate, by class of call; it is booked as calls settle.",
            (
                f"{rate(of('callgate_charged_total', THIS), 'call_class, currency', times=3600)} > 0",
                "{{call_class}} {{currency}}",
            ),
            unit=MONEY,
            stacked=True,
        ),
    ),
)

REFUSALS: Final = Row(
    "Asks and refusals",
    9,
    (
        series(
            "Asks by decision",
            "Verdicts a minute on its calls.",
            (rate(of(ASKS, THIS), "decision", times=60), "{{decision}}"),
            unit=PER_MINUTE,
            stacked=True,
            colors=DECISIONS,
        ),
        series(
            "Refusals by reason",
            "Refusals a minute by their reason; config/asterisk/REASONS.md says what each means and what to do.",
            (f"{rate(of(ASKS, THIS, DENIED), 'reason', times=60)} > 0", "{{reason}}"),
            unit=PER_MINUTE,
            stacked=True,
        ),
        series(
            "Refusals by limits and as suspect",
            "Refusals a minute by each limit, and by guards, restraints and barred prefixes together.",
            (rate(of(ASKS, THIS, LIMITED), "reason", times=60), "{{reason}}"),
            (rate(of(ASKS, THIS, SUSPECT), times=60), "suspect"),
            unit=PER_MINUTE,
        ),
    ),
)

CALLS: Final = Row(
    "Calls",
    9,
    (
        series(
            "Attempts and answers",
            "Calls a minute that a verdict let out or in, and those that were answered, by direction.",
            (rate(of("callgate_call_attempts_total", THIS), "direction", times=60), "{{direction}} attempts"),
            (rate(of("callgate_calls_answered_total", THIS), "direction", times=60), "{{direction}} answered"),
            unit=PER_MINUTE,
        ),
        series(
            "Answer-seizure ratio, by class",
            "Answered calls per attempt, by class of call.",
            (answer_seizure_ratio("call_class", THIS), "{{call_class}}"),
            unit="percentunit",
            most=1,
        ),
        series(
            "Average call duration, by class",
            "Seconds from answer to end per answered call, by class; very short and very long ones are worth a look.",
            (average_call_duration("call_class", THIS), "{{call_class}}"),
            unit="s",
        ),
    ),
)

MORE: Final = Row(
    "Recharges, refunds, credit that is lent",
    8,
    (
        series(
            "Recharges by what became of them",
            "Recharges of the hour before, by state: one that is asked for and never paid is a tenant that runs dry.",
            (grown(of("callgate_recharges_total", THIS), "state", within="1h"), "{{state}}"),
            runbook="CallgateRechargesFail",
        ),
        series(
            "Given back an hour",
            "Money that settling calls gave back, as an hourly rate, in units of the currency.",
            (rate(of("callgate_refunded_total", THIS), "currency", times=3600), "{{currency}}"),
            unit=MONEY,
        ),
        series(
            "Lent while the ledger was away",
            "Credit that its calls were granted without the ledger and that is not booked yet, in units of currency.",
            (f"sum by (currency) ({of('callgate_exposure', THIS)})", "{{currency}}"),
            unit=MONEY,
            runbook="CallgateMoneyLent",
        ),
    ),
)

INBOUND: Final = Row(
    "Its inbound numbers",
    8,
    (
        series(
            "Calls that came in, by number",
            "Verdicts a minute on calls to each number that it owns.",
            (
                rate(of("callgate_inbound_authorizations_total", THIS), "number, decision", times=60),
                "{{number}} {{decision}}",
            ),
            unit=PER_MINUTE,
        ),
        series(
            "Charged an hour, by number",
            "Money that calls to each number are charged, as an hourly rate, in units of the currency.",
            (
                rate(of("callgate_inbound_charged_total", THIS), "number, currency", times=3600),
                "{{number}} {{currency}}",
            ),
            unit=MONEY,
        ),
    ),
    is_folded=True,
)

DASHBOARD: Final = Dashboard(
    TENANT,
    "callgate: tenant",
    "One tenant: its money and how long it lasts, its calls, what it was refused. Those without a label of "
    "their own are summed as other.",
    (TILES, FUNDS, REFUSALS, CALLS, MORE, INBOUND),
    variables=(variable("tenant", "Tenant", ASKS, "acme"),),
    since="now-6h",
)
