"""All that is counted as it happens, by subject: a line each here, and a row in README.md.

What has a state of its own is read at each scrape instead: ``links.py``, ``pressure.py``.
"""

from functools import partial
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

VERDICT_BUCKETS_SECONDS: Final = (
    0.0002, 0.0004, 0.0006, 0.0008, 0.001, 0.00125, 0.0015, 0.002, 0.003, 0.004, 0.005,
    0.0075, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
)  # fmt: skip
LEDGER_BUCKETS_SECONDS: Final = (
    0.0001, 0.0002, 0.0004, 0.0007, 0.001, 0.002, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 2.5,
)  # fmt: skip


class Calls:
    """Verdicts, and the calls that follow."""

    def __init__(self, registry: CollectorRegistry) -> None:
        counter, gauge = partial(Counter, registry=registry), partial(Gauge, registry=registry)
        verdicts = partial(Histogram, registry=registry, buckets=VERDICT_BUCKETS_SECONDS)
        of_calls = ["tenant", "call_class", "direction"]
        about_charges = "Charged, in units of the currency; for watching only, the ledger has the exact sums."
        self.verdicts = counter("callgate_authorizations", "Verdicts given.", ["tenant", "decision", "reason"])
        self.seconds = verdicts("callgate_authorization_seconds", "From the receipt of an ask to its written verdict.")
        self.live = gauge("callgate_calls_live", "Metered calls now.", ["switch"])
        self.charged = counter("callgate_charged", about_charges, [*of_calls, "currency"])
        self.billed = counter("callgate_billed_seconds", "Seconds of settled calls.", of_calls)


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
        times = partial(Histogram, registry=registry, buckets=LEDGER_BUCKETS_SECONDS)
        about_times = "From the sending of a ledger step to its reply."
        self.seconds = times("callgate_ledger_call_seconds", about_times, ["function"])
        self.errors = counter("callgate_ledger_call_errors", "Ledger steps without a usable reply.", ["function"])


class Process:
    """What runs, by which config, and what went wrong."""

    def __init__(self, registry: CollectorRegistry) -> None:
        counter, gauge = partial(Counter, registry=registry), partial(Gauge, registry=registry)
        about_reloads = "Reloads of the config: taken, or refused and the old one kept."
        self.faults = counter("callgate_faults", "Things that went wrong and want a person's look.", ["where"])
        self.reloads = counter("callgate_config_reloads", about_reloads, ["result"])
        self.loaded = gauge("callgate_config_loaded_timestamp_seconds", "When the config in force was read.")
        self.build = gauge("callgate_build_info", "Always 1; its labels say what runs.", ["version", "python"])
