"""Tenants' money as it was last seen. What several tenants share a label for is summed, or the worst of them."""

from collections.abc import Callable, Iterable, Iterator
from math import inf, isfinite, nan
from typing import Final

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from gateway.adapters.metrics.counts import pairs
from gateway.adapters.metrics.scrape import TENANTS_AT_ONCE, gently
from gateway.core.recharge import State
from gateway.core.tenant import Tenant
from gateway.service.figures_walk import FiguresWalk, Seen
from rating.money import MICROS

LINES_AT_ONCE: Final = 200  # some 0.2 ms
_WORDS: Final = {"nan": "NaN", "inf": "+Inf"}
Label = tuple[str, str]
Values = dict[tuple[str, ...], float]
Family = tuple[str, str, tuple[str, ...], Values]
"""Name, what it is, its labels' names, and by their values what they have."""


class FiguresCollector(Collector):
    """Those of one gateway's walk."""

    def __init__(
        self, walk: FiguresWalk, tenants: Callable[[], Iterable[Tenant]], label_of: Callable[[str], Label]
    ) -> None:
        """``label_of``: a tenant's label and its currency."""
        self._walk = walk
        self._tenants = tenants
        self._label_of = label_of
        self._begun: dict[tuple[str, tuple[str, ...]], str] = {}  # lines up to the value

    def collect(self) -> Iterable[Metric]:
        """As any collector."""
        for name, about, labels, values in self._families():
            family = GaugeMetricFamily(name, about, labels=labels)
            for of_labels, value in values.items():
                family.add_metric(of_labels, value)
            yield family

    def text(self, *, is_openmetrics: bool) -> Iterator[str]:  # noqa: ARG002 - a gauge is the same in all formats
        """The exposition, some lines at a time."""
        for name, about, labels, values in self._families():
            lines = [f"# HELP {name} {about}\n# TYPE {name} gauge\n"]
            for of_labels, value in values.items():
                begun = self._begun.get((name, of_labels))
                if begun is None:
                    begun = f"{name}{{{pairs(labels, of_labels)}}}" if labels else name
                    self._begun[name, of_labels] = begun
                lines.append(f"{begun} {float(value) if isfinite(value) else _WORDS[str(value)]}\n")
                if len(lines) >= LINES_AT_ONCE:
                    yield "".join(lines)
                    lines.clear()
            yield "".join(lines)

    def _families(self) -> Iterable[Family]:
        """As they were last seen."""
        sums, known = _Sums(), self._walk.seen
        for tenant in gently(self._tenants(), TENANTS_AT_ONCE):
            sums.add(self._label_of(tenant.tenant_id), known.get(tenant.tenant_id) or self._walk.unseen)
        return sums.families(self._walk.age_seconds(sums.oldest_at))


class _Sums:
    def __init__(self) -> None:
        self.oldest_at = inf
        self._money: dict[Label, tuple[float, float]] = {}  # balance and held; NaN until one is known
        self._zero: dict[str, float] = {}
        self._at_zero = self._open = self._paused = 0

    def add(self, label: Label, seen: Seen) -> None:
        """Another tenant."""
        self.oldest_at = min(self.oldest_at, seen.at)
        self._paused += seen.is_paused
        zero = self._zero.get(label[0], nan)
        balance, held = self._money.get(label, (nan, nan))
        if (account := seen.balance) is not None:
            balance, held = _sum(balance, account.balance_micros), _sum(held, account.held_micros)
            self._at_zero += account.available_micros <= 0 and not account.is_closed
        if (recharge := seen.recharge) is not None:
            zero = min(inf if recharge.forecast is None else recharge.forecast.seconds_to_zero, zero)  # this or NaN
            self._open += recharge.state in {State.REQUESTED, State.PENDING}
        self._money[label], self._zero[label[0]] = (balance, held), zero

    def families(self, age_seconds: float) -> Iterable[Family]:
        """What each label has, and what all have."""
        money = ("tenant", "currency")
        balances: Values = {label: balance / MICROS for label, (balance, _) in self._money.items()}
        holds: Values = {label: held / MICROS for label, (_, held) in self._money.items()}
        zeros: Values = {(name,): seconds for name, seconds in self._zero.items()}
        about_zero = "Until nothing is available, at the rate of spending."
        return (
            ("callgate_balance", "Credit of the account.", money, balances),
            ("callgate_held", "Of it, held by live calls.", money, holds),
            ("callgate_seconds_to_zero", about_zero, ("tenant",), zeros),
            ("callgate_tenants_at_zero", "Tenants without money for a call.", (), {(): self._at_zero}),
            ("callgate_recharges_open", "Tenants whose request waits for an answer.", (), {(): self._open}),
            ("callgate_tenants_paused", "Tenants whose every ask is refused.", (), {(): self._paused}),
            ("callgate_figures_age_seconds", "Age of the oldest tenant's figures.", (), {(): age_seconds}),
        )


def _sum(known: float, more: int) -> float:
    return more if known != known else known + more  # noqa: PLR0124 - NaN is what differs from itself
