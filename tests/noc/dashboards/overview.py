"""The overview: are calls being gated, who is refused and why, who runs dry when. To be read in ten seconds."""

from typing import Final

from . import asterisk
from .grafana import Dashboard, Row
from .panels import (
    FEW_WANTED,
    MONEY,
    NONE_WANTED,
    PER_MINUTE,
    UP_DOWN,
    Column,
    heatmap,
    series,
    stat,
    table,
    timeline,
    to_dashboard,
    to_runbook,
)
from .words import (
    DECISIONS,
    DENIED,
    NOT_IN_SIGHT,
    OUR_FAULT,
    OVERVIEW,
    RUNS_DRY,
    TENANT,
    UNTOLD,
    VERDICT_SECONDS,
    answer_seizure_ratio,
    grown,
    most,
    of,
    quantile,
    rate,
    seconds_to_zero,
)

ASKS: Final = "callgate_authorizations_total"
# Of each switch, whether the gateway that has it is logged in to it.
GATED: Final = "max by (switch) (callgate_ami_up * callgate_switch_owned)"
OF_TENANT: Final = to_dashboard(TENANT, "This tenant", "&var-tenant=${__value.raw}")

TILES: Final = Row(
    "Are calls being gated?",
    4,
    (
        stat(
            "Gating",
            "Whether each switch is in the hands of a gateway that is logged in to it; the worst of them.",
            f"min({GATED})",
            words={0: ("NOT GATED", "red"), 1: ("gated", "green")},
            steps=((None, "red"), (1, "green")),
            no_value="NO GATEWAY",
            runbook="CallgateSwitchUnlinked",
            width=3,
        ),
        stat(
            "Ledger",
            "Whether the ledger answered each gateway's last question; while it does not, tenants' [failure] decides.",
            "min(callgate_ledger_up)",
            words=UP_DOWN,
            steps=((None, "red"), (1, "green")),
            no_value="NO GATEWAY",
            runbook="CallgateLedgerDown",
            width=3,
        ),
        stat(
            "Alerts",
            "Alerts that fire now; none, too, where Prometheus has no rules.",
            'count(ALERTS{alertstate="firing"}) or vector(0)',
            steps=NONE_WANTED,
            width=2,
        ),
        stat(
            "Our fault, 5 min",
            "Asks of five minutes that were refused, late or untold through no fault of the caller or the account.",
            f"{grown(of(ASKS, OUR_FAULT), within='5m')} + {grown(of(ASKS, UNTOLD), within='5m')}",
            steps=NONE_WANTED,
            decimals=0,
            runbook="CallgateCallsRefusedByFault",
            width=3,
        ),
        stat(
            "Verdict p99, 5 min",
            "From the receipt of an ask to its written verdict, 99 of 100 were faster: so long a dial waits.",
            quantile(0.99, "callgate_authorization_seconds", within="5m"),
            "s",
            steps=VERDICT_SECONDS,
            runbook="CallgateVerdictsSlow",
            width=3,
        ),
        stat("Live calls", "Metered calls now, on all switches.", "sum(callgate_calls_live)", graph=True, width=2),
        stat(
            "Refused, 5 min",
            "Part of the asks of five minutes that was refused, for whatever reason.",
            f"{rate(of(ASKS, DENIED), within='5m')} / {rate(ASKS, within='5m')}",
            "percentunit",
            steps=((None, "green"), (0.25, "orange"), (0.5, "red")),
            width=3,
        ),
        stat(
            "Next to run dry",
            "The shortest time to zero of all tenants that have something left, at the present rate of spending.",
            f"min({seconds_to_zero()} > 0)",
            "s",
            steps=RUNS_DRY,
            above=NOT_IN_SIGHT,
            runbook="CallgateTenantNearZero",
            width=3,
        ),
        stat(
            "At zero",
            "Tenants that can start no call for want of money.",
            "max(callgate_tenants_at_zero)",
            steps=FEW_WANTED,
            width=2,
        ),
    ),
)

RED: Final = Row(
    "Asks: rate, refusals, time to verdict",
    9,
    (
        series(
            "Asks by decision",
            "Verdicts a second: allow and pass let the call go, deny refuses it, late and unsent reached no dialplan.",
            (rate(ASKS, "decision"), "{{decision}}"),
            unit="reqps",
            stacked=True,
            colors=DECISIONS,
        ),
        series(
            "Refusals by reason",
            "Refusals a minute by their reason; config/asterisk/REASONS.md says what each means and what to do.",
            (f"{rate(of(ASKS, DENIED), 'reason', times=60)} > 0", "{{reason}}"),
            unit=PER_MINUTE,
            stacked=True,
        ),
        series(
            "Time to verdict",
            "From the receipt of an ask to its written verdict, by quantile.",
            *((quantile(part, "callgate_authorization_seconds"), f"p{part * 100:g}") for part in (0.5, 0.9, 0.99)),
            unit="s",
            exemplars=True,
        ),
    ),
)

WHO: Final = Row(
    "What to do: alerts, who runs dry, who is refused",
    10,
    (
        table(
            "Alerts that fire",
            "Alerts that fire now, and for how long; the name leads to what it means, how to look and how to mend.",
            ("alertname", "severity", "switch", "tenant"),
            Column(
                "for",
                "time() - max by (alertname, severity, switch, tenant)"
                ' (ALERTS_FOR_STATE and ignoring (alertstate) ALERTS{alertstate="firing"})',
                "s",
            ),
            sort="severity",
            descending=False,
            links={"alertname": to_runbook("${__value.raw}")},
        ),
        table(
            "Tenants by time to zero",
            "Who runs dry next, at the present rate of spending, with the balance and what live calls hold of it.",
            ("tenant", "currency"),
            Column("time to zero", seconds_to_zero(), "s", RUNS_DRY, NOT_IN_SIGHT),
            Column("balance", "max by (tenant, currency) (callgate_balance)", MONEY),
            Column("held", "max by (tenant, currency) (callgate_held)", MONEY),
            sort="time to zero",
            descending=False,
            links={"tenant": OF_TENANT},
        ),
        table(
            "Refused in the last hour",
            "Who was refused most in the last hour, and why.",
            ("tenant", "reason"),
            Column("refused", most(30, f"{grown(of(ASKS, DENIED), 'tenant, reason', within='1h')} > 0"), decimals=0),
            sort="refused",
            links={"tenant": OF_TENANT},
        ),
    ),
)

CALLS: Final = Row(
    "Calls",
    9,
    (
        series(
            "Live calls by state",
            "Metered calls by where they are in their life, on all switches.",
            ("sum by (state) (callgate_calls_by_state)", "{{state}}"),
            stacked=True,
        ),
        series(
            "Answer-seizure ratio",
            "Answered calls per attempt: a fall is a trunk that is ill, or somebody who dials at random.",
            (answer_seizure_ratio("direction"), "{{direction}}"),
            unit="percentunit",
            most=1,
        ),
        series(
            "Charged an hour",
            "Money that calls are charged, as an hourly rate, in units of each currency; it is booked as calls settle.",
            (rate("callgate_charged_total", "currency", times=3600), "{{currency}}"),
            unit=MONEY,
            scale="symlog",
        ),
    ),
)

STATES: Final = Row(
    "When it was so",
    7,
    (
        timeline(
            "Gated",
            "By switch: when the gateway that has it was logged in to it.",
            (GATED, "{{switch}}"),
            words={0: ("not gated", "red"), 1: ("gated", "green")},
        ),
        heatmap(
            "Time to verdict, each of them",
            "How many verdicts took how long: a second band has a second cause.",
            rate("callgate_authorization_seconds_bucket", "le"),
        ),
    ),
)

DASHBOARD: Final = Dashboard(
    OVERVIEW,
    "callgate: overview",
    "Whether calls are being gated, who is refused and why, who runs dry when.",
    (TILES, RED, WHO, CALLS, STATES, asterisk.BESIDE),
)
