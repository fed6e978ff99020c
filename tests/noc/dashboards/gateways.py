"""Rows on the gateways themselves: whose a switch is, the process, what it delivers, the audit of the books."""

from typing import Final

from .grafana import Row
from .panels import (
    NONE_WANTED,
    PER_MINUTE,
    Column,
    series,
    stat,
    table,
    timeline,
)
from .words import EACH, SW, grown, of, quantile, rate


def of_gateways(metric: str) -> str:
    """A figure of the processes that are gateways, whatever the scrape's job is called."""
    return f"{metric} and on (instance) callgate_build_info"


OWNERSHIP: Final = Row(
    "Gateways, and whose a switch is",
    8,
    (
        timeline(
            "Who has which switch",
            "By switch and gateway: when it acted on the switch.",
            (of("callgate_switch_owned", SW), EACH),
            words={0: ("stands by", "text"), 1: ("has it", "green")},
        ),
        series(
            "Since Redis said whose the switches are",
            "Age of the lease, by gateway: more than lease_ms is a Redis out of reach.",
            ("callgate_lease_age_seconds", "{{instance}}"),
            unit="s",
        ),
        series(
            "Take-overs",
            "Times in the hour before that a gateway got a switch: each is a gateway that went, or came.",
            (grown(of("callgate_switch_takeovers_total", SW), "switch", within="1h"), "{{switch}}"),
        ),
        table(
            "Gateways",
            "What runs where, how many live gateways it sees, and for how long it and its config are there.",
            ("instance", "version"),
            Column("runs", "sum by (instance, version) (callgate_build_info)", "none"),
            Column("sees", "sum by (instance) (callgate_gateways)", "none"),
            Column("for", f"time() - max by (instance) ({of_gateways('process_start_time_seconds')})", "s"),
            Column("config for", "time() - max by (instance) (callgate_config_loaded_timestamp_seconds)", "s"),
            sort="instance",
            descending=False,
        ),
    ),
)

PROCESS: Final = Row(
    "The process",
    8,
    (
        series(
            "Loop late",
            "How late the event loop rings its timers, by quantile, over all gateways.",
            *((quantile(part, "callgate_loop_lag_seconds"), f"p{part * 100:g}") for part in (0.5, 0.99)),
            unit="s",
            width=6,
            runbook="CallgateLoopLate",
        ),
        series(
            "CPU of the gateways",
            "Cores that each gateway uses; it has one, so that near 1 it can take no more.",
            (of_gateways("rate(process_cpu_seconds_total[$__rate_interval])"), "{{instance}}"),
            unit="percentunit",
            width=6,
        ),
        series(
            "Memory of the gateways",
            "Memory that each gateway holds.",
            (of_gateways("process_resident_memory_bytes"), "{{instance}}"),
            unit="bytes",
            width=6,
        ),
        series(
            "Open files",
            "Files and sockets that each gateway has open, as a part of how many it may have.",
            (of_gateways("process_open_fds / process_max_fds"), "{{instance}}"),
            unit="percentunit",
            width=6,
        ),
        series(
            "Faults by place",
            "Things of the hour before that went wrong and want a person's look, by where.",
            (grown("callgate_faults_total", "where", within="1h"), "{{where}}"),
            width=24,
            runbook="CallgateFaults",
        ),
    ),
)

DELIVERIES: Final = Row(
    "Events, mail, payments, the audit",
    8,
    (
        series(
            "Events that wait",
            "Events that no webhook acknowledged, those given up (callgate outbox list), and webhooks that said 410.",
            ("max(callgate_outbox_events)", "wait"),
            ("max(callgate_outbox_dead_events)", "given up"),
            ("max(callgate_webhooks_disabled)", "webhooks that said 410"),
            width=4,
            runbook="CallgateDeadLetters",
        ),
        series(
            "The oldest that waits",
            "Age of the oldest event without an acknowledgement, and of the oldest recharge without a payment program.",
            ("max(callgate_outbox_oldest_age_seconds)", "event"),
            ("max(callgate_payments_oldest_age_seconds)", "recharge"),
            unit="s",
            width=5,
            runbook="CallgateOutboxOld",
        ),
        series(
            "Attempts",
            "Attempts a minute to deliver an event, or a notice by mail, by how they ended.",
            (rate("callgate_webhook_attempts_total", "result", times=60), "webhook {{result}}"),
            (rate("callgate_mail_attempts_total", "result", times=60), "mail {{result}}"),
            unit=PER_MINUTE,
            width=5,
        ),
        series(
            "Recharges that wait",
            "Recharges that wait for an answer, and those that wait for a payment program to take them.",
            ("max(callgate_recharges_open)", "for an answer"),
            ("max(callgate_payments_waiting)", "for a payment program"),
            width=4,
            runbook="CallgatePaymentsOld",
        ),
        stat(
            "Findings of the audit",
            "What the last audit of the books found, over all tenants; callgate audit names it.",
            "max(callgate_audit_findings)",
            steps=NONE_WANTED,
            width=3,
            runbook="CallgateBooksDoNotHold",
        ),
        stat(
            "Last audit",
            "How long ago the last audit of the books ended; it is to be done each night.",
            "time() - max(callgate_audit_last_timestamp_seconds)",
            "s",
            steps=((None, "green"), (26 * 3600, "orange"), (50 * 3600, "red")),
            above=(10 * 366 * 86_400, "never"),  # 0 is the epoch
            width=3,
            runbook="CallgateAuditOld",
        ),
    ),
)

ROWS: Final = (OWNERSHIP, PROCESS, DELIVERIES)
