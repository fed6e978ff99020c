"""Switches and ledger from inside: links, queues, ledger steps, Redis; the gateways are in gateways.py."""

from typing import Final

from . import asterisk, gateways
from .grafana import Dashboard, Row, variable
from .panels import (
    FEW_WANTED,
    MONEY,
    MUST_BE_ONE,
    PER_MINUTE,
    UP_DOWN,
    YES_NO,
    heatmap,
    series,
    stat,
    timeline,
)
from .words import EACH, INTERNALS, SW, grown, most, of, quantile, rate

UP, OWNED = of("callgate_ami_up", SW), of("callgate_switch_owned", SW)
OWNERS: Final = f"sum by (switch) ({OWNED})"
FULL: Final = "callgate_queue_length / (callgate_queue_limit > 0)"
MUST_BE_UP: Final = ((None, "red"), (1, "green"))
LATE: Final = ((None, "green"), (0.02, "orange"), (0.1, "red"))


TILES: Final = Row(
    "Does it work?",
    4,
    (
        stat(
            "AMI",
            "Whether each gateway is logged in to each switch; the worst link.",
            f"min({UP})",
            words=UP_DOWN,
            steps=MUST_BE_UP,
            no_value="NO GATEWAY",
            runbook="CallgateSwitchUnlinked",
        ),
        stat(
            "Owners of a switch",
            "Gateways that act on one switch, where that is not one: none, or two while the last owner has no Redis.",
            f"min({OWNERS} != 1) or max({OWNERS})",
            steps=MUST_BE_ONE,
            no_value="NO GATEWAY",
            runbook="CallgateSwitchNotOwned",
        ),
        stat(
            "Ledger",
            "Whether the ledger answered each gateway's last question.",
            "min(callgate_ledger_up)",
            words=UP_DOWN,
            steps=MUST_BE_UP,
            no_value="NO GATEWAY",
            runbook="CallgateLedgerDown",
        ),
        stat(
            "Books are kept",
            "Whether Redis writes its log, the last write went well, and it may evict no key: else books can be lost.",
            "min(callgate_ledger_append_only * callgate_ledger_append_ok * (1 - callgate_ledger_evicts))",
            words=YES_NO,
            steps=MUST_BE_UP,
            runbook="CallgateLedgerNotDurable",
        ),
        stat(
            "Fullest queue",
            "What waits in the fullest queue, as a part of what may wait there.",
            f"max({FULL})",
            "percentunit",
            steps=((None, "green"), (0.2, "orange"), (0.8, "red")),
            runbook="CallgateQueueNearFull",
        ),
        stat(
            "Loop late p99, 5 min",
            "How late the event loop rings its timers, 99 of 100 were better: so long all else waits.",
            quantile(0.99, "callgate_loop_lag_seconds", within="5m"),
            "s",
            steps=LATE,
            runbook="CallgateLoopLate",
        ),
        stat(
            "Config",
            "Whether the newest config is in force; NO: a reload was refused, and the one before it still is.",
            "min(callgate_config_last_reload_successful)",
            words=YES_NO,
            steps=MUST_BE_UP,
            runbook="CallgateConfigRefused",
        ),
        stat(
            "Faults, 1 h",
            "Things of the hour that went wrong and want a person's look; which, is further down.",
            grown("callgate_faults_total", within="1h"),
            steps=FEW_WANTED,
            decimals=0,
            runbook="CallgateFaults",
        ),
    ),
)

AMI: Final = Row(
    "Switches: the manager link",
    8,
    (
        timeline("AMI link", "By switch and gateway: when it was logged in.", (UP, EACH), words=UP_DOWN, width=6),
        series(
            "Messages read",
            "AMI messages a second; none at all on a busy PBX is a link that is dead.",
            (rate(of("callgate_ami_messages_total", SW), "switch"), "{{switch}}"),
            unit="cps",
            width=6,
        ),
        series(
            "Event lag, p99",
            "From the PBX's own timestamp of an event to its receipt, with the clocks' offset taken off.",
            (quantile(0.99, "callgate_ami_event_lag_seconds", SW, by="switch"), "{{switch}}"),
            unit="s",
            width=6,
            runbook="CallgateEventsLate",
        ),
        series(
            "Since the last message",
            "How long the switch has said nothing; even an idle one answers pings.",
            (f"time() - {of('callgate_ami_last_event_timestamp_seconds', SW)}", EACH),
            unit="s",
            width=6,
        ),
        series(
            "Clock offset",
            "The PBX's clock minus the gateway's: the deadlines of verdicts are reckoned with it.",
            (of("callgate_ami_clock_offset_seconds", SW), EACH),
            unit="s",
            signed=True,
            width=8,
            runbook="CallgateClockOff",
        ),
        series(
            "Messages not believed",
            "Messages a minute that were dropped as forged or unreadable.",
            (rate(of("callgate_ami_messages_dropped_total", SW), "switch", times=60), "{{switch}}"),
            unit=PER_MINUTE,
            width=8,
            runbook="CallgateMessagesNotBelieved",
        ),
        series(
            "Doubts",
            "Times a minute that a switch was asked what is true, as what it had said left that open.",
            (rate(of("callgate_ami_doubts_total", SW), "switch", times=60), "{{switch}}"),
            unit=PER_MINUTE,
            width=8,
        ),
    ),
)

CALLS: Final = Row(
    "Extensions, cuts, estimates",
    8,
    (
        series(
            "Extensions by result",
            "Quota extensions a minute by what came of them.",
            (rate(of("callgate_extensions_total", SW), "result", times=60), "{{result}}"),
            unit=PER_MINUTE,
        ),
        heatmap(
            "Slack of extensions",
            "How much of the grant was left when its extension stood on the PBX; at the bottom the cut was near.",
            rate("callgate_extension_slack_seconds_bucket", "le"),
        ),
        series(
            "Cuts by reason",
            "Calls a minute that were ended, by what ended them.",
            (rate(of("callgate_cuts_total", SW), "reason", times=60), "{{reason}}"),
            unit=PER_MINUTE,
            runbook="CallgateCallsCutByFault",
        ),
        series(
            "Estimates, and legs nobody asked for",
            "Calls of the hour before that were charged by estimate, and legs on trunks that passed no gate.",
            (grown(of("callgate_estimates_total", SW), "reason", within="1h"), "estimate: {{reason}}"),
            (grown(of("callgate_unasked_total", SW), "outcome", within="1h"), "unasked: {{outcome}}"),
            runbook="CallgateCallsEstimated",
        ),
    ),
)

QUEUES: Final = Row(
    "Queues",
    8,
    (
        series(
            "What waits",
            "Length of each queue; gateway/service/FAILURES.md says what each does when it is full.",
            ("sum by (queue) (callgate_queue_length)", "{{queue}}"),
        ),
        series(
            "How full",
            "What waits as a part of what may wait, by queue and switch.",
            (f"max by (queue, switch) ({FULL})", "{{queue}} {{switch}}"),
            unit="percentunit",
            steps=((None, "text"), (0.8, "red")),
            runbook="CallgateQueueNearFull",
        ),
        series(
            "Dropped for want of room",
            "Things a minute that a full queue had no room for.",
            (rate("callgate_queue_dropped_total", "queue", times=60), "{{queue}}"),
            unit=PER_MINUTE,
            runbook="CallgateQueueDropped",
        ),
        series(
            "The ask that waits longest",
            "Age of the oldest ask without a verdict; after CALLGATE_WAIT the dialplan decides by itself.",
            (f"max by (switch) ({of('callgate_asks_oldest_age_seconds', SW)})", "{{switch}}"),
            unit="s",
        ),
    ),
)

LEDGER: Final = Row(
    "The ledger",
    9,
    (
        series(
            "Steps a second",
            "Ledger steps by function.",
            (f"{rate('callgate_ledger_call_seconds_count', 'function')} > 0", "{{function}}"),
            unit="ops",
            stacked=True,
        ),
        series(
            "Time of a step, p99",
            "From the sending of a step to its reply, by function; those that wait for the disk are slower.",
            (f"{quantile(0.99, 'callgate_ledger_call_seconds', by='function')} >= 0", "{{function}}"),
            unit="s",
            scale="log",
            runbook="CallgateLedgerSlow",
        ),
        series(
            "Errors",
            "Steps a minute without a usable reply, by function, the ten with the most; a refusal is a reply.",
            (most(10, rate("callgate_ledger_call_errors_total", "function", times=60)), "{{function}}"),
            unit=PER_MINUTE,
            runbook="CallgateLedgerErrors",
        ),
    ),
)

REDIS: Final = Row(
    "Redis, and what is lent without it",
    8,
    (
        series(
            "Memory of Redis",
            "What Redis uses, and its limit; 0 is no limit.",
            ("max(callgate_ledger_memory_used_bytes)", "used"),
            ("max(callgate_ledger_memory_limit_bytes)", "limit"),
            unit="bytes",
            runbook="CallgateLedgerMemory",
        ),
        timeline(
            "Redis keeps the books",
            "When its log was on, when its last write went well, when it could evict no key.",
            ("min(callgate_ledger_append_only)", "log is on"),
            ("min(callgate_ledger_append_ok)", "last write went well"),
            ("1 - max(callgate_ledger_evicts)", "nothing is evicted"),
            words=YES_NO,
        ),
        series(
            "Lent while the ledger is away",
            "Credit that calls were granted without the ledger and that is not booked yet, in units of the currency.",
            ("sum by (currency) (callgate_exposure)", "{{currency}}"),
            unit=MONEY,
            runbook="CallgateMoneyLent",
        ),
        series(
            "Grants without the ledger",
            "Times a minute that something was lent, and that the exposure had no room for it.",
            (rate("callgate_exposure_grants_total", "result", times=60), "{{result}}"),
            unit=PER_MINUTE,
            runbook="CallgateExposureUsedUp",
        ),
    ),
)

DASHBOARD: Final = Dashboard(
    INTERNALS,
    "callgate: switches and ledger",
    "The links to the switches, the queues, the ledger and its Redis, whose the switches are, deliveries, the process.",
    (TILES, AMI, CALLS, QUEUES, LEDGER, REDIS, *gateways.ROWS, asterisk.INSIDE),
    variables=(variable("switch", "Switch", "callgate_ami_up"),),
)
