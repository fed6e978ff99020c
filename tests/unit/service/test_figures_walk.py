"""All tenants' figures as they were last seen."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from gateway.adapters.metrics.figures import FiguresCollector
from gateway.core.forecast import Forecast
from gateway.core.recharge import State
from gateway.ports import Balance, DayFigures, LedgerRejected, LedgerUnavailable, RechargeStatus
from gateway.service import figures_walk
from gateway.service.directory import Directory
from gateway.service.figures_walk import FiguresWalk
from tests.unit.core import build

pytestmark = pytest.mark.asyncio


def account(tenant: str, balance: int, held: int = 0, *, is_closed: bool = False) -> Balance:
    """In units."""
    micros = (balance * 1_000_000, held * 1_000_000)
    return Balance(tenant, "USD", is_closed, *micros, 0, 0, 0, 0, 0, 0, 0)


def recharge(state: State = State.ARMED, seconds_to_zero: int | None = None) -> RechargeStatus:
    """Where the last recharge is."""
    forecast = None if seconds_to_zero is None else Forecast(seconds_to_zero, 1)
    return RechargeStatus(None, False, state, 0, 0, None, None, 0, "", (), forecast)


@dataclass
class Books:
    """Implements ports.Figures; ``asked`` are the tenants of whose balance was asked."""

    balances: dict[str, Balance] = field(default_factory=dict)
    recharges: dict[str, RechargeStatus] = field(default_factory=dict)
    pauses: dict[str, int] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    is_down: bool = False
    is_busy_for: set[str] = field(default_factory=set)  # once each

    async def balance(self, tenant: str) -> Balance:
        """The account."""
        if self.is_down or tenant in self.is_busy_for:
            self.is_busy_for.discard(tenant)
            raise LedgerUnavailable("down")
        self.asked.append(tenant)
        if tenant not in self.balances:
            raise LedgerRejected("unknown_account", "none")
        return self.balances[tenant]

    async def recharge_status(self, tenant: str) -> RechargeStatus:
        """The forecast."""
        return self.recharges.get(tenant, recharge())

    async def paused_until_ms(self, tenant: str) -> int | None:
        """The pause."""
        return self.pauses.get(tenant)

    async def day_figures(self, tenant: str, _: Sequence[str]) -> DayFigures:
        """The pause, too."""
        return DayFigures((), 0, 0, (), self.pauses.get(tenant))


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures_walk, "BEAT_SECONDS", 0.0)
    monkeypatch.setattr(figures_walk, "PAUSE_SECONDS", 0.0)


class Clock:
    """Goes when it is told to."""

    now = 100.0

    def __call__(self) -> float:
        """Now."""
        return self.now


def walk_of(books: Books, *busy: str) -> tuple[FiguresWalk, Clock]:
    """Over three tenants, of whom the busy have live calls."""
    clock = Clock()
    directory = Directory([build.tenant(tenant_id=name) for name in ("a", "b", "c")])
    return FiguresWalk(books, directory, lambda tenant: tenant in busy, clock), clock


def shown(walk: FiguresWalk, labels: dict[str, str]) -> CollectorRegistry:
    """A scrape, with these tenants' labels; the others are ``other``."""
    registry = CollectorRegistry()
    tenants = [build.tenant(tenant_id=name) for name in ("a", "b", "c")]
    registry.register(FiguresCollector(walk, lambda: tenants, lambda name: (labels.get(name, "other"), "USD")))
    return registry


async def test_a_round_looks_at_each_tenant_once_and_at_those_with_live_calls_first() -> None:
    """What they have runs out the soonest."""
    books = Books({name: account(name, 1) for name in "abc"})
    walk, _ = walk_of(books, "c")
    await walk.take_round()
    assert books.asked == ["c", "a", "b"]


async def test_what_somebody_else_has_just_asked_for_is_not_asked_again() -> None:
    """The live page asks through the walk."""
    books = Books({name: account(name, 1) for name in "abc"})
    walk, clock = walk_of(books)
    clock.now += 60
    await asyncio.gather(walk.balance("b"), walk.recharge_status("b"), walk.day_figures("b", ()))
    await walk.take_round()
    assert books.asked == ["b", "a", "c"]


async def test_a_ledger_that_is_away_leaves_what_was_known_and_its_age_grows() -> None:
    """A tenant without an account holds up no other."""
    books = Books({name: account(name, 1) for name in "ac"})
    walk, clock = walk_of(books)
    await walk.take_round()
    books.is_down = True
    clock.now += 60
    await walk.take_round()
    registry = shown(walk, {"a": "a"})
    assert registry.get_sample_value("callgate_figures_age_seconds") == 60
    assert registry.get_sample_value("callgate_balance", {"tenant": "a", "currency": "USD"}) == 1


async def test_whom_a_busy_ledger_did_not_answer_for_is_asked_about_once_more() -> None:
    """In the same round."""
    books = Books({name: account(name, 1) for name in "abc"}, is_busy_for={"a"})
    walk, _ = walk_of(books)
    await walk.take_round()
    assert sorted(set(books.asked)) == ["a", "b", "c"]


async def test_balances_are_shown_by_label_and_summed_for_the_others() -> None:
    """The soonest of those who share a label is the one that is told; what is not known yet is no number."""
    books = Books({"a": account("a", 5, 2), "b": account("b", 7, 1), "c": account("c", 0)})
    books.recharges = {"b": recharge(seconds_to_zero=600), "c": recharge(State.PENDING, 30)}
    books.pauses = {"a": 0, "b": 1}  # b's is over
    walk, _ = walk_of(books)
    of_a, of_others = {"tenant": "a", "currency": "USD"}, {"tenant": "other", "currency": "USD"}
    before = shown(walk, {"a": "a"})
    assert str(before.get_sample_value("callgate_balance", of_a)) == "nan"
    assert str(before.get_sample_value("callgate_seconds_to_zero", {"tenant": "other"})) == "nan"
    await walk.take_round()
    registry = shown(walk, {"a": "a"})
    assert registry.get_sample_value("callgate_balance", of_a) == 5
    assert registry.get_sample_value("callgate_held", of_a) == 2
    assert registry.get_sample_value("callgate_balance", of_others) == 7
    assert registry.get_sample_value("callgate_held", of_others) == 1
    assert registry.get_sample_value("callgate_seconds_to_zero", {"tenant": "a"}) == float("inf")
    assert registry.get_sample_value("callgate_seconds_to_zero", {"tenant": "other"}) == 30
    assert registry.get_sample_value("callgate_tenants_at_zero") == 1
    assert registry.get_sample_value("callgate_recharges_open") == 1
    assert registry.get_sample_value("callgate_tenants_paused") == 1


async def test_a_closed_account_is_not_one_that_ran_dry() -> None:
    """Nor is one that was never heard of."""
    walk, _ = walk_of(Books())
    walk.note(account("a", 0, is_closed=True))
    assert shown(walk, {}).get_sample_value("callgate_tenants_at_zero") == 0


async def test_a_pause_is_over_when_its_time_is() -> None:
    """By this machine's clock."""
    books = Books({name: account(name, 1) for name in "abc"}, pauses={"a": round((time.time() + 60) * 1000)})
    walk, _ = walk_of(books)
    await walk.take_round()
    assert [name for name, seen in walk.seen.items() if seen.is_paused] == ["a"]


async def test_what_is_written_out_fast_is_what_is_collected() -> None:
    """In both formats; numbers that are none, too."""
    books = Books({"a": account("a", 5, 2), "b": account("b", 7)}, {"a": recharge(seconds_to_zero=9)})
    walk, _ = walk_of(books)
    await walk.take_round()
    tenants = [build.tenant(tenant_id=name) for name in ("a", "b", "c")]
    collector = FiguresCollector(walk, lambda: tenants, lambda name: (name, "USD"))
    plain = CollectorRegistry()
    plain.register(collector)
    for is_openmetrics, accept in ((False, ""), (True, "application/openmetrics-text")):
        encode, _ = choose_encoder(accept)
        told = encode(plain).decode().removesuffix("# EOF\n")
        assert "".join(collector.text(is_openmetrics=is_openmetrics)) == told
