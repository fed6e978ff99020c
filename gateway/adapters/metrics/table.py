"""All that is counted as it happens, by subject: a line each here, and a row in README.md.

What calls came to is in ``closed.py``, what only happens in ``happenings.py``. What has a state of its own is read at
each scrape instead: ``links.py``, ``pressure.py``, ``ownership.py``, ``figures.py``.
"""

from functools import partial
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge

from gateway.adapters.metrics.counts import Counts
from gateway.adapters.metrics.times import Times

VERDICT_BUCKETS_SECONDS: Final = (
    0.0002, 0.0004, 0.0006, 0.0008, 0.001, 0.00125, 0.0015, 0.002, 0.003, 0.004, 0.005,
    0.0075, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
)  # fmt: skip
LEDGER_BUCKETS_SECONDS: Final = (
    0.0001, 0.0002, 0.0004, 0.0007, 0.001, 0.002, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 2.5,
)  # fmt: skip
SLACK_BUCKETS_SECONDS: Final = (0.0, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0)
LAG_BUCKETS_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class Calls:
    """Verdicts, and the calls that follow."""

    def __init__(self, registry: CollectorRegistry) -> None:
        counts, gauge = partial(Counts, registry=registry), partial(Gauge, registry=registry)
        times = partial(Times, registry=registry)
        about_times, about_slack = (
            "From the receipt of an ask to its written verdict.",
            "Left on the old cap at a new one.",
        )
        self.verdicts = counts("callgate_authorizations", "Verdicts given.", ["tenant", "decision", "reason"])
        self.seconds = times("callgate_authorization_seconds", about_times, bounds=VERDICT_BUCKETS_SECONDS).labels()
        self.live = gauge("callgate_calls_live", "Metered calls now.", ["switch"])
        self.by_state = gauge("callgate_calls_by_state", "Metered calls by where they are.", ["switch", "state"])
        self.slack = times("callgate_extension_slack_seconds", about_slack, bounds=SLACK_BUCKETS_SECONDS).labels()


class Deliveries:
    """Events and notices on their way out, and the answers of payment programs."""

    def __init__(self, registry: CollectorRegistry) -> None:
        counter, gauge = partial(Counter, registry=registry), partial(Gauge, registry=registry)
        self.attempts = counter("callgate_webhook_attempts", "Attempts to deliver an event.", ["type", "result"])
        self.mails = counter("callgate_mail_attempts", "Attempts to send a notice by mail.", ["notice", "result"])
        self.events = gauge("callgate_outbox_events", "Events that no webhook has acknowledged yet.")
        self.oldest = gauge("callgate_outbox_oldest_age_seconds", "Age of the oldest of them; 0: there is none.")
        self.dead = gauge("callgate_outbox_dead_events", "Events that were given up: callgate outbox list.")
        self.disabled = gauge("callgate_webhooks_disabled", "Tenants whose webhook said 410, and gets nothing.")
        self.payments = gauge("callgate_payments_waiting", "Requests for a recharge that wait for a payment program.")
        self.payment = gauge("callgate_payments_oldest_age_seconds", "Age of the oldest of them; 0: there is none.")


class Steps:
    """Steps of the ledger."""

    def __init__(self, registry: CollectorRegistry) -> None:
        counter = partial(Counter, registry=registry)
        times = partial(Times, registry=registry, bounds=LEDGER_BUCKETS_SECONDS)
        about_times = "From the sending of a ledger step to its reply."
        self.seconds = times("callgate_ledger_call_seconds", about_times, ["function"])
        self.errors = counter("callgate_ledger_call_errors", "Ledger steps without a usable reply.", ["function"])


class Server:
    """What the ledger's server says of itself: the worst of them where there are several."""

    def __init__(self, registry: CollectorRegistry) -> None:
        gauge = partial(Gauge, registry=registry)
        self.up = gauge("callgate_ledger_up", "1: the ledger answered the last beat.")
        self.used = gauge("callgate_ledger_memory_used_bytes", "Memory that it uses.")
        self.limit = gauge("callgate_ledger_memory_limit_bytes", "Memory that it may use; 0: not bounded.")
        self.has_aof = gauge("callgate_ledger_append_only", "1: it writes an append-only file.")
        self.is_aof_written = gauge("callgate_ledger_append_ok", "1: the last write of that succeeded.")
        self.evicts = gauge("callgate_ledger_evicts", "1: it may evict keys: books can be lost.")


class Books:
    """What the nightly audit of all books found."""

    def __init__(self, registry: CollectorRegistry) -> None:
        gauge = partial(Gauge, registry=registry)
        self.findings = gauge("callgate_audit_findings", "What the last audit found in the books of all tenants.")
        self.audited = gauge("callgate_audit_last_timestamp_seconds", "When it ended; 0: never, or not here.")


class Process:
    """What runs, by which config, and what went wrong."""

    def __init__(self, registry: CollectorRegistry) -> None:
        counter, gauge = partial(Counter, registry=registry), partial(Gauge, registry=registry)
        about_reloads = "Reloads of the config: taken, or refused and the old one kept."
        about_newest, lags = "1: the newest config is in force.", partial(Times, bounds=LAG_BUCKETS_SECONDS)
        self.faults = counter("callgate_faults", "Things that went wrong and want a person's look.", ["where"])
        self.reloads = counter("callgate_config_reloads", about_reloads, ["result"])
        self.loaded = gauge("callgate_config_loaded_timestamp_seconds", "When the config in force was read.")
        self.newest = gauge("callgate_config_last_reload_successful", about_newest)
        self.lag = lags(
            "callgate_loop_lag_seconds", "How late a timer of the event loop rings.", registry=registry
        ).labels()
        self.build = gauge("callgate_build_info", "Always 1; its labels say what runs.", ["version", "python"])
