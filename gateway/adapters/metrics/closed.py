"""What calls came to that were let out: counted once, when a call's books are closed, so that ratios hold.

``callgate_charged_total`` is a float and for watching only: the books are the ledger's, in whole micro-units.
"""

from collections.abc import Callable
from functools import partial
from typing import Final

from prometheus_client import CollectorRegistry

from gateway.adapters.metrics.counts import Count, Counts
from gateway.adapters.metrics.words import Bounded
from gateway.core.cdr import CallRecord
from rating.money import MICROS

_LABELS: Final = ("tenant", "call_class", "direction")


class ClosedCalls:
    """Counts by tenant, class and direction."""

    def __init__(self, registry: CollectorRegistry, label_of: Callable[[str], tuple[str, str]]) -> None:
        """``label_of``: a tenant's label and its currency."""
        counts, money = partial(Counts, registry=registry, labels=_LABELS), (*_LABELS, "currency")
        about = "Charged, in units of the currency; for watching only, the ledger has the exact sums."
        self._attempts = counts("callgate_call_attempts", "Calls that were let out, when their books were closed.")
        self._answered = counts("callgate_calls_answered", "Of them, those that were answered.")
        self._talked = counts("callgate_talked_seconds", "Seconds from answer to end of closed calls.")
        self._billed = counts("callgate_billed_seconds", "Seconds of settled calls.")
        self._charged = Counts("callgate_charged", about, money, registry=registry)
        self._refunded = Counts("callgate_refunded", "Charged by extensions, and given back.", money, registry=registry)
        self._label_of = label_of
        self._classes = Bounded([])
        self._known: dict[tuple[str, str, str, str], tuple[Count, ...]] = {}

    def show(self, tenant: str, call_class: str, direction: str) -> tuple[Count, ...]:
        """The series of a tenant's calls: there from now on. Classes that nobody knows end in one."""
        label, currency = self._label_of(tenant)
        key = (label, self._classes(call_class), direction, currency)
        series = self._known.get(key)
        if series is None:
            plain = (self._attempts, self._answered, self._talked, self._billed)
            money = (self._charged, self._refunded)
            series = (*(one.labels(*key[:3]) for one in plain), *(one.labels(*key) for one in money))
            self._known[key] = series
        return series

    def count(self, record: CallRecord, refunded_micros: int) -> None:
        """One call."""
        series = self.show(record.tenant, record.call_class, record.direction)
        attempts, answered, talked, billed, charged, refunded = series
        attempts.value += 1
        if not record.answered_at_ms:
            return
        answered.value += 1
        talked.value += max(0, record.ended_at_ms - record.answered_at_ms) / 1000
        billed.value += record.billsec
        charged.value += record.charged_micros / MICROS
        refunded.value += refunded_micros / MICROS
