"""A fraud day: an office's calls and a thief's, with the guards and without them.

``python -m tests.simulation.fraud_day`` prints what either cost, hour by hour, and which of the
office's calls were refused and why.
"""

import argparse
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import partial

from gateway import logs
from gateway.settings import load
from rating.money import MICROS

from .fraud.day import CONFIG, Made, Played, play
from .fraud.traffic import HOUR_MS, recorded, rotating

HOURS_A_DAY = 24


def money(micros: int) -> str:
    """In units of the currency."""
    return f"{micros / MICROS:,.2f}"


def of_thief(played: Played) -> list[Made]:
    """His calls."""
    return [call for call in played.made if call.is_thief]


def of_office(played: Played) -> list[Made]:
    """All the others."""
    return [call for call in played.made if not call.is_thief]


def loss_micros(played: Played) -> int:
    """What the tenant is charged for the thief's calls."""
    return sum(call.micros for call in of_thief(played))


def harmed(played: Played) -> list[Made]:
    """Calls of the office that were refused or cut."""
    return [call for call in of_office(played) if call.is_refused or call.is_cut]


def summary(name: str, played: Played) -> str:
    """One day in some lines."""
    lines = [f"{name}:"]
    for who, calls in (("office", of_office(played)), ("thief", of_thief(played))):
        minutes, micros = sum(call.talk_seconds for call in calls) / 60, sum(call.micros for call in calls)
        refused = Counter(call.outcome.reason for call in calls if call.is_refused)
        lines.append(
            f"  {who:6}  {len(calls):6,} dialled  {refused.total():6,} refused"
            f"  {sum(call.is_cut for call in calls):4} cut  {minutes:9,.0f} min  {money(micros):>12}"
        )
        lines += [f"            refused for {reason}: {count}" for reason, count in refused.most_common()]
    lines += [
        f"    {clock_time(call.asked_at_ms)}  {call.wanted.who} {call.wanted.cli} to {call.wanted.number}: "
        f"{call.outcome.reason if call.is_refused else f'cut after {call.talk_seconds} s'}"
        for call in harmed(played)
    ]
    return "\n".join(lines)


def clock_time(at_ms: int) -> str:
    """Day and time of the office's own clock."""
    day, rest = divmod(at_ms, HOURS_A_DAY * HOUR_MS)
    return f"day {day + 1} {rest // HOUR_MS:02}:{rest // 60_000 % 60:02}:{rest // 1000 % 60:02}"


def by_hour(days: Sequence[tuple[str, Played]]) -> str:
    """What was dialled and spent in each hour, the days side by side."""
    lines = ["", " " * 12 + "".join(f" | {name:^41}" for name, _ in days)]
    lines.append(f"{'hour':12}" + " |  office refused    cost   thief      loss" * len(days))
    for hour in sorted({call.asked_at_ms // HOUR_MS for _, played in days for call in played.made}):
        cells = [_hour(played, hour) for _, played in days]
        lines.append(f"{clock_time(hour * HOUR_MS)[:-3]:12}" + "".join(f" | {cell}" for cell in cells))
    return "\n".join(lines)


def _hour(played: Played, hour: int) -> str:
    def within(calls: Iterable[Made]) -> list[Made]:
        return [call for call in calls if call.asked_at_ms // HOUR_MS == hour]

    office, thief = within(of_office(played)), within(of_thief(played))
    refused = sum(call.is_refused for call in office)
    spent, lost = (money(sum(call.micros for call in calls)) for calls in (office, thief))
    return f"{len(office):7,} {refused:7,} {spent:>7} {len(thief):7,} {lost:>9}"


def timed(what: str, errand: Callable[[], Played]) -> Played:
    """Play it, and say how long it took."""
    began = time.perf_counter()
    played = errand()
    print(f"{what}: {len(played.made):,} calls, {played.steps:,} steps, {time.perf_counter() - began:.1f} s")
    return played


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rotate", action="store_true", help="the thief shows another caller ID at each call")
    calls = recorded()
    if parser.parse_args().rotate:
        calls = rotating(calls)
    logs.configure("error")
    days = [(name, timed(name, partial(play, calls, name))) for name in load(CONFIG).tenants]
    for name, played in days:
        print(summary(name, played))
    print(by_hour(days))


if __name__ == "__main__":
    main()
