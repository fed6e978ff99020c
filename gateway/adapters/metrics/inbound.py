"""What calls that come in did, by the owned number that they came in on.

Numbers are labels as far as the config owns them and there are no more than NUMBER_LIMIT; all others, and whatever
somebody outside dials, are ``other``.
"""

from collections.abc import Iterable
from functools import partial
from typing import Final

from prometheus_client import CollectorRegistry

from gateway.adapters.metrics.counts import Counts
from gateway.adapters.metrics.words import DECISIONS, OTHER

NUMBER_LIMIT: Final = 200


class InboundNumbers:
    """Counts by number. ``other`` has no tenant."""

    def __init__(self, registry: CollectorRegistry) -> None:
        counter = partial(Counts, registry=registry)
        labels, about = ["tenant", "number"], "Charged for calls to an owned number, in units of the currency."
        self._verdicts = counter(
            "callgate_inbound_authorizations", "Verdicts on calls to an owned number.", [*labels, "decision"]
        )
        self._charged = counter("callgate_inbound_charged", about, [*labels, "currency"])
        self._billed = counter(
            "callgate_inbound_billed_seconds", "Seconds of settled calls to an owned number.", labels
        )
        self._known: dict[str, tuple[str, str]] = {}  # number -> its labels

    def name(self, tenant: str, currency: str, numbers: Iterable[str]) -> None:
        """Show a tenant's numbers, from now on; ``tenant`` is its label."""
        for number in sorted(numbers):
            is_own = number in self._known or len(self._known) < NUMBER_LIMIT
            self._known[number] = (tenant, number if is_own else OTHER)
            for decision in DECISIONS:
                self._verdicts.labels(*self._labels(number), decision)
            self._charged.labels(*self._labels(number), currency)
            self._billed.labels(*self._labels(number))

    def authorized(self, number: str, decision: str) -> None:
        """One verdict."""
        self._verdicts.labels(*self._labels(number), decision if decision in DECISIONS else OTHER).inc()

    def charged(self, number: str, currency: str, amount: float, seconds: int) -> None:
        """A call was settled; the amount is in units of the currency."""
        self._charged.labels(*self._labels(number), currency).inc(amount)
        self._billed.labels(*self._labels(number)).inc(seconds)

    def _labels(self, number: str) -> tuple[str, str]:
        return self._known.get(number, (OTHER, OTHER))
