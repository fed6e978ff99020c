"""What is counted for those who watch, as Prometheus metrics in a registry of its own.

Conventions: base units (seconds, units of the currency), ``_total`` on counters, labels with a bounded number
of values, every series there from the start. A tenant is a label only when config names it and it is among
the first ``tenant_limit``; all others, and whatever a caller makes up, are summed as ``other``.

``callgate_charged_total`` is a float and for watching only: the books are the ledger's, in whole micro-units.
"""

import platform
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.metadata import version
from typing import Final, Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from gateway.core.reasons import Reason
from gateway.core.tenant import Tenant
from rating.money import MICROS

OTHER: Final = "other"
NONE: Final = "none"
TENANT_LIMIT: Final = 200
LABEL_LIMIT: Final = 64
REASON_UNSAID: Final = {
    "allow": "ok",
    "pass": "unmetered",
    "late": Reason.VERDICT_LATE.value,  # not written: its deadline had passed
    "unsent": NONE,  # the switch could not be told
}
DECISIONS: Final = (*REASON_UNSAID, "deny")
_SAMPLES_A_TURN: Final = 25
_TURN_SECONDS: Final = 0.0001
_TIMED: Final = frozenset({"allow", "pass", "deny"})  # the others never became a verdict
EVENT_TYPES: Final = (
    *("recharge.requested", "recharge.succeeded", "recharge.failed", "recharge.exhausted"),
    *("balance.low", "balance.exhausted", "credit.expiring", "credit.expired"),
)
LEDGER_FUNCTIONS: Final = (
    "open", "balance", "close", "reopen", "topup", "reverse", "tend",
    "recharge_answer", "recharge_ask", "recharge_leaving", "recharge_returned", "recharge_set",
    "archived", "refuse", "restrict",
    "reserve", "answer", "extend", "shrink", "settle", "release", "doubt", "register", "live", "expired",
    "mail_take", "claim", "lease_turn", "lease_look",
    "outbox_claim", "outbox_done", "outbox_failed", "outbox_gone", "outbox_give_up", "outbox_look", "outbox_retry",
)  # fmt: skip
FAULT_PLACES: Final = (
    "doubt", "estimate", "event_given_up", "fenced", "leg_past_cap", "metrics", "ownership", "registered_again",
    "undefined_transition",
    "unpaid_leg", "webhook_gone",
)  # fmt: skip

VERDICT_BUCKETS_SECONDS: Final = (
    0.0002, 0.0004, 0.0006, 0.0008, 0.001, 0.00125, 0.0015, 0.002, 0.003, 0.004, 0.005,
    0.0075, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
)  # fmt: skip
LEDGER_BUCKETS_SECONDS: Final = (
    0.0001, 0.0002, 0.0004, 0.0007, 0.001, 0.002, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 2.5,
)  # fmt: skip


class LinkStats(Protocol):
    """What one connection to a switch counts of itself, from the start of the process on."""

    @property
    def messages(self) -> int:
        """Messages read."""
        ...

    @property
    def dropped(self) -> int:
        """Messages that were not believed."""
        ...

    @property
    def doubts(self) -> int:
        """Times that something forged made the gateway ask ``Status``."""
        ...

    @property
    def last_message_at(self) -> float:
        """Unix seconds of the last message; 0 for none yet."""
        ...

    @property
    def is_logged_in(self) -> bool:
        """The connection is up and whole."""
        ...


ReadLinks = Callable[[], Sequence[LinkStats]]
"""Gives a switch's connections as they are now."""


class _Bounded:
    """The values of a label: those known, and new ones until there are ``limit``; the rest are ``other``."""

    def __init__(self, known: Iterable[str], limit: int = LABEL_LIMIT) -> None:
        self._known = set(known)
        self._limit = limit

    def __call__(self, value: str) -> str:
        if value in self._known:
            return value
        if len(self._known) >= self._limit:
            return OTHER
        self._known.add(value)
        return value


class PrometheusWatch:
    """Implements ``ports.Watch``, and watches ledger calls and links besides. For one thread."""

    def __init__(
        self,
        tenants: Sequence[Tenant] = (),
        switches: Sequence[str] = (),
        *,
        tenant_limit: int = TENANT_LIMIT,
    ) -> None:
        self.registry = CollectorRegistry(auto_describe=False)
        self._tenant_limit = tenant_limit
        self._labels: dict[str, tuple[str, str]] = {}  # tenant -> its label and its currency
        self._verdicts: dict[tuple[str, str, str], Counter] = {}
        self._charges: dict[tuple[str, str], tuple[Counter, Counter]] = {}
        self._ledger_times: dict[str, Histogram] = {}
        self._reasons = _Bounded([NONE, *REASON_UNSAID.values(), "exposure", *(reason.value for reason in Reason)])
        self._classes = _Bounded([])
        self._event_types = _Bounded(EVENT_TYPES)
        self._places = _Bounded(FAULT_PLACES)
        self._functions = _Bounded(LEDGER_FUNCTIONS)
        self._make_metrics()
        self._links = _LinkCollector()
        self.registry.register(self._links)
        ProcessCollector(registry=self.registry)
        for name in switches:
            self.calls_live(name, 0)
        self.set_tenants(tenants)

    def _make_metrics(self) -> None:
        registry = self.registry
        self._authorizations = Counter(
            "callgate_authorizations", "Verdicts given.", ["tenant", "decision", "reason"], registry=registry
        )
        self._authorization_seconds = Histogram(
            "callgate_authorization_seconds",
            "From the receipt of an ask to its written verdict.",
            buckets=VERDICT_BUCKETS_SECONDS,
            registry=registry,
        )
        self._calls_live = Gauge("callgate_calls_live", "Metered calls now.", ["switch"], registry=registry)
        self._charged = Counter(
            "callgate_charged",
            "Charged, in units of the currency; for watching only, the ledger has the exact sums.",
            ["tenant", "call_class", "currency"],
            registry=registry,
        )
        self._billed = Counter(
            "callgate_billed_seconds",
            "Seconds of settled calls.",
            ["tenant", "call_class"],
            registry=registry,
        )
        self._attempts = Counter(
            "callgate_webhook_attempts",
            "Attempts to deliver an event.",
            ["type", "result"],
            registry=registry,
        )
        self._mails = Counter(
            "callgate_mail_attempts",
            "Attempts to send a notice by mail.",
            ["notice", "result"],
            registry=registry,
        )
        self._outbox = {
            name: Gauge(f"callgate_{name}", about, registry=registry)
            for name, about in (
                ("outbox_events", "Events that no webhook has acknowledged yet."),
                ("outbox_oldest_age_seconds", "Age of the oldest of them; 0: there is none."),
                ("outbox_dead_events", "Events that were given up: callgate outbox list."),
                ("webhooks_disabled", "Tenants whose webhook said 410, and gets nothing."),
            )
        }
        self._payments = {
            name: Gauge(f"callgate_{name}", about, registry=registry)
            for name, about in (
                ("payments_waiting", "Requests for a recharge that wait for a payment program."),
                ("payments_oldest_age_seconds", "Age of the oldest of them; 0: there is none."),
            )
        }
        self._faults = Counter(
            "callgate_faults",
            "Things that went wrong and want a person's look.",
            ["where"],
            registry=registry,
        )
        self._ledger_seconds = Histogram(
            "callgate_ledger_call_seconds",
            "From the sending of a ledger step to its reply.",
            ["function"],
            buckets=LEDGER_BUCKETS_SECONDS,
            registry=registry,
        )
        self._ledger_errors = Counter(
            "callgate_ledger_call_errors",
            "Ledger steps without a usable reply.",
            ["function"],
            registry=registry,
        )
        self._reloads = Counter(
            "callgate_config_reloads",
            "Reloads of the config: taken, or refused and the old one kept.",
            ["result"],
            registry=registry,
        )
        self._config_loaded = Gauge(
            "callgate_config_loaded_timestamp_seconds", "When the config in force was read.", registry=registry
        )
        self._config_loaded.set_to_current_time()
        for result in ("taken", "refused"):
            self._reloads.labels(result)
        build = Gauge(
            "callgate_build_info",
            "Always 1; its labels say what runs.",
            ["version", "python"],
            registry=registry,
        )
        build.labels(version("callgate"), platform.python_version()).set(1)
        for event_type in EVENT_TYPES:
            for result in ("acknowledged", "failed"):
                self._attempts.labels(event_type, result)
        for where in FAULT_PLACES:
            self._faults.labels(where)
        for function in LEDGER_FUNCTIONS:
            self._ledger_seconds.labels(function)
            self._ledger_errors.labels(function)

    # ------------------------------------------------------------------------------------------------ set up

    def set_tenants(self, tenants: Sequence[Tenant]) -> None:
        """Name tenants of the config: the first get a label of their own, and all series exist at once.

        May be called again, for those that are new or changed: a label once given stays, no counter goes backwards.
        """
        self._verdicts.clear()  # they remember labels
        self._charges.clear()
        own = {label for label, _ in self._labels.values() if label != OTHER}
        fresh = set() if self._labels else {OTHER}
        for tenant in tenants:
            is_own = tenant.tenant_id in own or len(own) < self._tenant_limit
            label = tenant.tenant_id if is_own else OTHER
            if is_own and label not in own:
                own.add(label)
                fresh.add(label)
            self._labels[tenant.tenant_id] = (label, tenant.currency)
            for call_class in tenant.metered_classes:
                self._charge_of(tenant.tenant_id, call_class.value)
        for label in fresh:
            for decision, reason in REASON_UNSAID.items():
                self._authorizations.labels(label, decision, reason)
            for refusal in Reason:
                self._authorizations.labels(label, "deny", refusal.value)

    def config_read(self, *, is_taken: bool) -> None:
        """A reload has ended: the new config is in force, or the old one still is."""
        self._reloads.labels("taken" if is_taken else "refused").inc()
        if is_taken:
            self._config_loaded.set_to_current_time()

    def label_of(self, tenant: str) -> tuple[str, str]:
        """A tenant's label and its currency: for collectors of their own."""
        return self._labels.get(tenant, (OTHER, NONE))

    def watch_links(self, switch: str, links: ReadLinks) -> None:
        """Show what a switch's connections count, read at each scrape. It is up when all of them are."""
        self._links.switches[switch] = links
        self._calls_live.labels(switch)

    # -------------------------------------------------------------------------------------------- ports.Watch

    def authorized(self, tenant: str, decision: str, reason: str, seconds: float) -> None:
        """One verdict, and the seconds from the receipt of its ask."""
        key = (tenant if tenant in self._labels else OTHER, decision, reason)
        counter = self._verdicts.get(key)
        if counter is None:
            counter = self._verdict_counter(*key)
        counter.inc()
        if decision in _TIMED:
            self._authorization_seconds.observe(seconds)

    def _verdict_counter(self, tenant: str, decision: str, reason: str) -> Counter:
        label = self._labels[tenant][0] if tenant in self._labels else OTHER
        counter = self._authorizations.labels(
            label,
            decision if decision in DECISIONS else OTHER,
            self._reasons(reason or REASON_UNSAID.get(decision, NONE)),
        )
        if len(self._verdicts) < self._most_verdicts():
            self._verdicts[tenant, decision, reason] = counter
        return counter

    def _most_verdicts(self) -> int:
        """A bound on the cache, above what a sane caller can fill: it only ever saves a look-up."""
        return (len(self._labels) + 1) * len(DECISIONS) * LABEL_LIMIT

    def calls_live(self, switch: str, count: int) -> None:
        """How many calls of a switch are metered now."""
        self._calls_live.labels(switch).set(count)

    def charged(self, tenant: str, call_class: str, micros: int, seconds: int) -> None:
        """A call was settled. A negative amount or time cannot be counted: it is a fault."""
        if micros < 0 or seconds < 0:
            self.fault("metrics")
            return
        money, billed = self._charge_of(tenant, call_class)
        money.inc(micros / MICROS)
        billed.inc(seconds)

    def _charge_of(self, tenant: str, call_class: str) -> tuple[Counter, Counter]:
        label, currency = self._labels.get(tenant, (OTHER, NONE))
        key = (tenant if tenant in self._labels else OTHER, self._classes(call_class))
        pair = self._charges.get(key)
        if pair is None:
            pair = (
                self._charged.labels(label, key[1], currency),
                self._billed.labels(label, key[1]),
            )
            self._charges[key] = pair
        return pair

    def delivered(self, event_type: str, *, is_acknowledged: bool) -> None:
        """One attempt to deliver an outbox event."""
        self._attempts.labels(self._event_types(event_type), "acknowledged" if is_acknowledged else "failed").inc()

    def mailed(self, notice: str, outcome: str) -> None:
        """One attempt to send a notice; both are words of the gateway's own."""
        self._mails.labels(notice, outcome).inc()

    def outbox_waits(self, waiting: int, oldest_seconds: float, dead: int, disabled: int) -> None:
        """All tenants' events, as a sweep has found them."""
        for gauge, value in zip(self._outbox.values(), (waiting, oldest_seconds, dead, disabled), strict=True):
            gauge.set(value)

    def payments_wait(self, waiting: int, oldest_seconds: float) -> None:
        """What waits for payment programs, as a sweep has found it."""
        for gauge, value in zip(self._payments.values(), (waiting, oldest_seconds), strict=True):
            gauge.set(value)

    def fault(self, where: str) -> None:
        """Something went wrong that a person should look at."""
        self._faults.labels(self._places(where)).inc()

    # ---------------------------------------------------------------------------------------- of the adapters

    def ledger_called(self, function: str, seconds: float, *, is_error: bool = False) -> None:
        """One ledger step, by its function's name. A refusal is an answer and no error."""
        times = self._ledger_times.get(function)
        if times is None:
            times = self._ledger_seconds.labels(self._functions(function))
            if function in LEDGER_FUNCTIONS:
                self._ledger_times[function] = times
        times.observe(seconds)
        if is_error:
            self._ledger_errors.labels(self._functions(function)).inc()

    def render(self, accept: str = "") -> tuple[bytes, str]:
        """The exposition in the format that ``accept`` asks for, and its content type. Slow: give it a thread."""
        encode, content_type = choose_encoder(accept)
        return encode(_Scrape(self.registry)), content_type


class _Gently(list[Sample]):
    """Samples that give the event loop's thread its turn every few of them.

    Writing out holds the interpreter: a thread that wants it waits up to 5 ms (the switch interval). Measured
    with 200 tenants and scrapes without pause: the loop was late by 0.6 ms in the median, and by 4.0 without this.
    """

    def __iter__(self) -> Iterator[Sample]:
        for count, sample in enumerate(super().__iter__()):
            if count % _SAMPLES_A_TURN == 0:
                time.sleep(_TURN_SECONDS)
            yield sample


class _Scrape(Collector):
    """The registry as it is scraped: gently, and without ``_created``, which doubles it and is read by nothing."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterable[Metric]:
        for metric in self._registry.collect():
            metric.samples = _Gently(s for s in metric.samples if not s.name.endswith("_created"))
            yield metric


class _LinkCollector(Collector):
    """Reads the links' own counters at each scrape, so that the reading of messages pays for none of it."""

    def __init__(self) -> None:
        self.switches: dict[str, ReadLinks] = {}

    def collect(self) -> Iterable[Metric]:
        up = GaugeMetricFamily("callgate_ami_up", "1: logged in to the switch's AMI.", labels=["switch"])
        last = GaugeMetricFamily(
            "callgate_ami_last_event_timestamp_seconds",
            "When the last message came; 0: never.",
            labels=["switch"],
        )
        messages = CounterMetricFamily("callgate_ami_messages", "Messages read.", labels=["switch"])
        dropped = CounterMetricFamily(
            "callgate_ami_messages_dropped", "Messages that were not believed.", labels=["switch"]
        )
        doubts = CounterMetricFamily(
            "callgate_ami_doubts", "Times that the switch was asked what is true.", labels=["switch"]
        )
        for switch, read in list(self.switches.items()):
            links = read()
            up.add_metric([switch], float(bool(links) and all(link.is_logged_in for link in links)))
            last.add_metric([switch], max((link.last_message_at for link in links), default=0.0))
            messages.add_metric([switch], sum(link.messages for link in links))
            dropped.add_metric([switch], sum(link.dropped for link in links))
            doubts.add_metric([switch], sum(link.doubts for link in links))
        return [up, last, messages, dropped, doubts]
