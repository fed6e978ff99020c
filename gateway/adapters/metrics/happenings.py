"""What only happens, and is counted: by the switch where it did, or by the tenant whom it concerns."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from prometheus_client import CollectorRegistry

from gateway.adapters.metrics.counts import Count, Counts
from gateway.adapters.metrics.words import HAPPENINGS, Bounded
from gateway.ports import Happening

_OF_TENANTS: Final = frozenset({Happening.RECHARGE, Happening.RESTRAINT})


class Happenings:
    """Counts each kind."""

    def __init__(self, registry: CollectorRegistry, label_of: Callable[[str], tuple[str, str]]) -> None:
        """``label_of``: a tenant's label and its currency."""
        counts = partial(Counts, registry=registry)
        self._counts = {
            Happening.EXTENSION: counts("callgate_extensions", "Quota extensions.", ["switch", "result"]),
            Happening.CUT: counts(
                "callgate_cuts", "Answered calls that ended otherwise than by a hang-up.", ["switch", "reason"]
            ),
            Happening.ESTIMATE: counts("callgate_estimates", "Calls charged by estimate.", ["switch", "reason"]),
            Happening.UNASKED: counts("callgate_unasked", "Legs that nobody asked for.", ["switch", "outcome"]),
            Happening.RECHARGE: counts("callgate_recharges", "What became of recharges.", ["tenant", "state"]),
            Happening.RESTRAINT: counts("callgate_restraints", "Guards that tripped.", ["tenant", "kind"]),
        }
        self._words = {what: Bounded(known) for what, known in HAPPENINGS.items()}
        self._label_of = label_of
        self._known: dict[tuple[Happening, str, str], Count] = {}

    def show_switches(self, switches: Sequence[str]) -> None:
        """All of each switch is there from now on."""
        for what in self._counts.keys() - _OF_TENANTS:
            for switch in switches:
                self._show(what, switch)

    def show_tenant(self, label: str) -> None:
        """Likewise of a tenant, by its label."""
        for what in _OF_TENANTS:
            self._show(what, label)

    def _show(self, what: Happening, where: str) -> None:
        for how in HAPPENINGS[what]:
            self._counts[what].labels(where, how)

    def count(self, what: Happening, where: str, how: str) -> None:
        """One of them."""
        if what in _OF_TENANTS:
            where = self._label_of(where)[0]
        count = self._known.get((what, where, how))
        if count is None:
            count = self._counts[what].labels(where, self._words[what](how))
            if how in HAPPENINGS[what]:
                self._known[what, where, how] = count
        count.value += 1
