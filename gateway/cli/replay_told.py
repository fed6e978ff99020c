"""What ``callgate replay`` prints: what all would cost, by group, what would be refused, and what was left out."""

import sys
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from rich.table import Table

from gateway.adapters.past import Found
from gateway.cli.tables import right, show
from gateway.core.reasons import Reason
from gateway.core.replay_sums import By, Replayed, Sum, Sums
from gateway.core.tenant import Tenant
from rating import format_amount


@dataclass(frozen=True, slots=True)
class Told:
    """A replay, as it is told."""

    found: Found
    calls: list[Replayed]
    owner: Tenant  # by the new rules
    sums: Sums
    by: By
    balance_micros: int | None
    is_compared: bool  # there are two sides to it

    def show(self) -> None:
        """For people: the tables on standard output, what is wrong with the records on standard error."""
        print(self._headline())
        show(self._groups())
        if self.sums.reasons:
            show(self._reasons())
        for sentence in self._sentences():
            print(sentence)
        tell_problems(self.found)

    def facts(self) -> dict[str, Any]:
        """The same as JSON. Amounts are micro-units."""
        return {
            "tenant": self.owner.tenant_id,
            "currency": self.owner.currency,
            "is_compared": self.is_compared,
            "total": _facts(self.sums.total),
            "by": self.by.value,
            "groups": {name: _facts(group) for name, group in self.sums.groups.items()},
            "reasons": [
                {"reason": reason, "is_cut": is_cut, "limit": limit, **asdict(count)}
                for (reason, is_cut, limit), count in self.sums.reasons.items()
            ],
            "allowed": self.sums.allowed,
            "balance_micros": self.balance_micros,
            "left_micros": self._left_micros(),
            "left_out": dict(self.found.left_out),
            "problems": [{"where": problem.where, "problem": problem.sentence} for problem in self.found.problems],
            "problem_count": self.found.problem_count,
        }

    # ----------------------------------------------------------------------------------------------- for people

    def _headline(self) -> str:
        total = self.sums.total
        first, last = (self._when(self.calls[at]) for at in (0, -1))
        word = "call" if total.calls == 1 else "calls"
        calls = f"{total.calls} {word} of {self.owner.tenant_id}, {first} to {last}"
        if not self.is_compared:
            return f"{calls}: {self._money(total.now_micros)}"
        change = _signed(total.difference_micros, self.owner.currency)
        return f"{calls}: {self._money(total.was_micros)} -> {self._money(total.now_micros)}, {change}{_percent(total)}"

    def _groups(self) -> Table:
        names: tuple[str, ...] = ("calls", "minutes", "was", "would be", "difference", "refused", "cut")
        if not self.is_compared:
            names = ("calls", "minutes", "cost", "refused", "cut")
        table = Table(self.by.value, *map(right, names))
        for name, group in self.sums.groups.items():
            table.add_row(name, *self._cells(group))
        table.add_section()
        table.add_row("all", *self._cells(self.sums.total))
        return table

    def _cells(self, one: Sum) -> tuple[str, ...]:
        talked = max(one.was_seconds, one.now_seconds)
        minutes = f"{talked // 60}:{talked % 60:02}"
        refused, cut = str(one.now_refused), str(one.now_cut)
        if not self.is_compared:
            return str(one.calls), minutes, format_amount(one.now_micros), refused, cut
        amounts = format_amount(one.was_micros), format_amount(one.now_micros), _signed(one.difference_micros)
        return (str(one.calls), minutes, *amounts, _change(one.was_refused, refused), _change(one.was_cut, cut))

    def _reasons(self) -> Table:
        names = ("was", "would be") if self.is_compared else ("calls",)
        table = Table("refused or cut", "limit", *map(right, names), "the first one")
        ordered = sorted(self.sums.reasons.items(), key=lambda each: (-each[1].now, -each[1].was, each[0]))
        for (reason, is_cut, limit), count in ordered:
            counts = (str(count.was), str(count.now)) if self.is_compared else (str(count.now),)
            table.add_row(f"cut: {reason}" if is_cut else reason, limit, *counts, count.example)
        return table

    def _sentences(self) -> list[str]:
        said = []
        if self.balance_micros is not None:
            left = self._left_micros() or 0
            said.append(f"of {self._money(self.balance_micros)}, {self._money(left)} would be left; {self._dry()}")
        if self.sums.allowed:
            said.append(f"{self.sums.allowed} that were refused would pass; what they would cost is not known")
        guards = self.owner.guards
        pausing = [guard for guard in (guards.refusals, guards.short_calls, guards.sequence) if guard is not None]
        if guards.holds_new_country or any(guard.pause_seconds is not None for guard in pausing):
            said.append("not replayed: what guards would pause or hold")
        said += left_out(self.found)
        return said

    def _dry(self) -> str:
        first = next((one for one in self.calls if one.now.reason == Reason.NO_CREDIT), None)
        return "it would not run dry" if first is None else f"it would run dry with the call of {self._when(first)}"

    def _left_micros(self) -> int | None:
        return None if self.balance_micros is None else self.balance_micros - self.sums.total.now_micros

    def _when(self, one: Replayed) -> str:
        at = datetime.fromtimestamp(one.call.asked_at_ms / 1000, UTC).astimezone(self.owner.zone)
        return at.isoformat(sep=" ", timespec="seconds")

    def _money(self, micros: int) -> str:
        return format_amount(micros, self.owner.currency)


def left_out(found: Found) -> list[str]:
    """Which rows were no calls to replay, and why, in a line each."""
    return [f"left out: calls {why} ({count})" for why, count in found.left_out.most_common()]


def tell_problems(found: Found) -> None:
    """What is wrong with the records, the first ones; and of how many more."""
    for problem in found.problems:
        print(f"{problem.where}: {problem.sentence}", file=sys.stderr)
    more = found.problem_count - len(found.problems)
    if more:
        print(f"and {more} more that could not be read", file=sys.stderr)


def _facts(one: Sum) -> dict[str, int]:
    return {**asdict(one), "difference_micros": one.difference_micros}


def _change(was: int, now: str) -> str:
    return now if str(was) == now else f"{was} -> {now}"


def _signed(micros: int, currency: str = "") -> str:
    return f"{'+' if micros > 0 else ''}{format_amount(micros, currency or None)}"


def _percent(total: Sum) -> str:
    """In tenths, cut."""
    if total.was_micros <= 0:
        return ""
    tenths = abs(total.difference_micros) * 1000 // total.was_micros
    sign = "-" if total.difference_micros < 0 else "+"
    return f" ({sign}{tenths // 10}.{tenths % 10} %)"
