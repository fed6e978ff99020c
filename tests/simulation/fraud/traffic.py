"""Who dials what on the day, and in the night after it: the same seed makes the same calls, and they are recorded.

The office: sixty phones, an agent who sells by phone, a traveller, a few who work late. The thief has the password of
one of the phones: an hour of test calls late in the evening, and a flood from after midnight until the morning.
Numbers are made up; prefixes and habits are those of carriers' fraud reports: international revenue share fraud.
"""

import csv
import io
import math
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass, fields
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

RECORDED: Final = Path(__file__).with_name("calls.csv")
SEED: Final = 1
# Times are milliseconds from this midnight, a Tuesday's, in the office's own zone.
MIDNIGHT_MS: Final = round(datetime(2027, 3, 2, tzinfo=ZoneInfo("America/New_York")).timestamp() * 1000)
MINUTE_MS: Final = 60_000
HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS
FLOOD_FROM_MS, FLOOD_UNTIL_MS = DAY_MS + 45 * MINUTE_MS, DAY_MS + 6 * HOUR_MS + 45 * MINUTE_MS
LINES: Final = 24  # of the flood: so many calls at a time
HACKED: Final = "2017"


class Who(StrEnum):
    """Whose call it is. The gateway is not told."""

    OFFICE = "office"
    LATE = "late"
    AGENT = "agent"
    TRAVELLER = "traveller"
    TEST = "test"  # the thief's, short: which of his numbers can be reached
    FLOOD = "flood"  # the thief's, long: what he earns by


THIEF: Final = frozenset({Who.TEST, Who.FLOOD})


@dataclass(frozen=True, slots=True)
class Wanted:
    """A call that somebody means to make.

    A ``line`` of the flood makes its calls one after the other, again and again, each as soon as the last one is over:
    ``at_ms`` is when it begins with them. 0: a call of its own.
    """

    at_ms: int
    who: Who
    cli: str
    number: str
    ring_ms: int
    talk_ms: int  # 0: nobody answers
    line: int = 0


# By weight: how an office's calls are spread over where it usually calls. X is any digit, N is 2 to 9.
_DOMESTIC: Final = (
    ("1212NXXXXXX", 5), ("1646NXXXXXX", 3), ("1914NXXXXXX", 2), ("1415NXXXXXX", 2), ("1312NXXXXXX", 2),
    ("1617NXXXXXX", 1), ("1305NXXXXXX", 1),
)  # fmt: skip
_TOLL_FREE: Final = (("1800NXXXXXX", 4), ("1888NXXXXXX", 2), ("1877NXXXXXX", 1), ("1866NXXXXXX", 1))
_ABROAD: Final = (
    ("0114420794XXXXX", 6), ("01144740012XXXX", 3), ("0114930901XXXXX", 4), ("01149151234XXXXX", 2),
    ("0115255555XXXXX", 4), ("1416NXXXXXX", 4), ("01191226X6XXXXX", 3), ("0116328XXXXXXX", 3), ("0113314276XXXX", 2),
)  # fmt: skip
USUAL_COUNTRIES: Final = ("US", "CA", "GB", "DE", "MX", "IN", "PH", "FR")
# Where the thief is paid a share: dear, and hard to trace.
_RANGES: Final = (
    ("011371212345XX", 3), ("01137190123XXX", 2), ("0112526155XXXXX", 4), ("01153521XXXXX", 3), ("011232762XXXXX", 3),
    ("0112392212XXX", 3), ("011247683XX", 2), ("0112463700XXX", 2), ("01167748XXX", 2), ("0118816312XXXXX", 3),
    ("01187077312XXXX", 2), ("01188299123XXXX", 2), ("011960330XXXX", 2), ("011387612XXXXX", 2), ("011979812XXXXXX", 1),
    ("01199450XXXXXXX", 2), ("011216721XXXXX", 2), ("011447012XXXXXX", 2),
)  # fmt: skip
# An office's dials, by hour from 7 o'clock; and the snow of that Tuesday, when everybody phones.
_BUSY: Final = (0.3, 1.0, 2.2, 2.6, 2.2, 1.0, 1.6, 2.2, 2.0, 1.6, 0.8, 0.3)
_SNOW_FROM_MS, _SNOW_MS, _SNOW_CALLS = 14 * HOUR_MS, 30 * MINUTE_MS, 110


def wanted(seed: int) -> list[Wanted]:
    """All of it, by time; the flood's lines in the order of their calls."""
    calls = [
        *_office(random.Random(f"{seed} office")),
        *_agent(random.Random(f"{seed} agent")),
        *_traveller(random.Random(f"{seed} traveller")),
        *_late(random.Random(f"{seed} late")),
        *_tests(random.Random(f"{seed} tests")),
        *_flood(random.Random(f"{seed} flood")),
    ]
    return sorted(calls, key=lambda call: (call.at_ms, call.line))


# ------------------------------------------------------------------------------------------------------ the office


def _office(dice: random.Random) -> Iterator[Wanted]:
    phones = [str(2001 + number) for number in range(60)]
    for day, until in ((0, 19), (1, 13)):
        for hour, weight in enumerate(_BUSY, start=7):
            for _ in range(round(weight * 30) if hour < until else 0):
                at_ms = day * DAY_MS + hour * HOUR_MS + dice.randrange(HOUR_MS)
                yield from _with_retries(dice, at_ms, dice.choice(phones))
    for _ in range(_SNOW_CALLS):
        yield from _with_retries(dice, _SNOW_FROM_MS + dice.randrange(_SNOW_MS), dice.choice(phones))
    # What looks like fraud and is none: a cousin in Havana on both days, and the ship that the office supplies.
    for at_ms, number, minutes in (
        (11 * HOUR_MS, "0115378312345", 9),
        (15 * HOUR_MS, "011870773112233", 4),
        (DAY_MS + 10 * HOUR_MS, "0115378312345", 14),
    ):
        yield Wanted(at_ms, Who.OFFICE, "2031", number, 6_000, minutes * MINUTE_MS)


def _with_retries(dice: random.Random, at_ms: int, cli: str) -> Iterator[Wanted]:
    """A call; where nobody answers, most people try again some minutes later."""
    kinds = dice.choices((_DOMESTIC, _TOLL_FREE, _ABROAD), (62, 18, 20))[0]
    number = _number(dice, kinds)
    for _ in range(3):
        is_answered = dice.random() < 0.78
        talk_ms = _talk_ms(dice, 90) if is_answered else 0
        ring_ms = _tenths(dice.uniform(2_000, 15_000) if is_answered else dice.uniform(15_000, 35_000))
        yield Wanted(_tenths(at_ms), Who.OFFICE, cli, number, ring_ms, talk_ms)
        if is_answered or dice.random() < 0.4:
            return
        at_ms += ring_ms + _tenths(dice.uniform(1, 6) * MINUTE_MS)


def _agent(dice: random.Random) -> Iterator[Wanted]:
    """One short call after the other; and on the first day she calls all the numbers of one customer, in order."""
    for day, until_hour in ((0, 17), (1, 13)):
        at_ms = day * DAY_MS + 9 * HOUR_MS
        while at_ms < day * DAY_MS + until_hour * HOUR_MS:
            talk_ms = _talk_ms(dice, 20, most_ms=6 * MINUTE_MS) if dice.random() < 0.55 else 0
            ring_ms = _tenths(dice.uniform(3_000, 20_000))
            yield Wanted(_tenths(at_ms), Who.AGENT, "2055", _number(dice, _DOMESTIC), ring_ms, talk_ms)
            at_ms += ring_ms + talk_ms + dice.uniform(8_000, 40_000)
    for n in range(14):
        at_ms = 13 * HOUR_MS + 20 * MINUTE_MS + n * 70_000
        talk_ms = _tenths(dice.uniform(6_000, 30_000))
        yield Wanted(at_ms, Who.AGENT, "2056", f"12125550{100 + n}", 5_000, talk_ms)


def _traveller(dice: random.Random) -> Iterator[Wanted]:
    """Sent to a country that the office never called: he phones there from lunch until late, and the day after."""
    for at_hours in (12.2, 12.3, 15.6, 19.5, 21.1, 21.4, 24 + 8.2, 24 + 8.9, 24 + 11.5):
        number = _number(dice, (("0112547221XXXXX", 2), ("01125420271XXXX", 1)))
        talk_ms = _talk_ms(dice, 200) if dice.random() < 0.8 else 0
        yield Wanted(
            _tenths(at_hours * HOUR_MS), Who.TRAVELLER, "2042", number, _tenths(dice.uniform(4e3, 2e4)), talk_ms
        )


def _late(dice: random.Random) -> Iterator[Wanted]:
    """Some stay until ten; one is on call, and phones colleagues in India at three."""
    for _ in range(24):
        cli, at_ms = str(2001 + dice.randrange(60)), dice.uniform(19, 22.2) * HOUR_MS
        number = _number(dice, dice.choice((_DOMESTIC, _DOMESTIC, _TOLL_FREE, _ABROAD)))
        yield Wanted(_tenths(at_ms), Who.LATE, cli, number, _tenths(dice.uniform(2e3, 2e4)), _talk_ms(dice, 150))
    for at_hours, number in ((25.6, "12125550199"), (27.2, "01191226061234"), (28.1, "011912260612345")):
        talk_ms = _talk_ms(dice, 300)
        yield Wanted(_tenths(at_hours * HOUR_MS), Who.LATE, "2008", number, 5_000, talk_ms)


# ------------------------------------------------------------------------------------------------------- the thief


def _tests(dice: random.Random) -> Iterator[Wanted]:
    """Each range is tried by some numbers in a row, briefly: does it answer, and is it counted?"""
    at_ms = 22.6 * HOUR_MS
    for pattern, _ in dice.sample(_RANGES, 8):
        first = int(_digits(dice, pattern)[-2:]) % 90
        base = _digits(dice, pattern)[:-2]
        for n in range(dice.randint(5, 8)):
            talk_ms = _tenths(dice.uniform(3_000, 12_000)) if dice.random() < 0.75 else 0
            ring_ms = _tenths(dice.uniform(2_000, 9_000))
            yield Wanted(_tenths(at_ms), Who.TEST, HACKED, f"{base}{first + n:02d}", ring_ms, talk_ms)
            at_ms += ring_ms + talk_ms + dice.uniform(10_000, 60_000)


def _flood(dice: random.Random) -> Iterator[Wanted]:
    """As long as each number holds the line; the next one at once."""
    for line in range(1, LINES + 1):
        at_ms = _tenths(FLOOD_FROM_MS + dice.uniform(0, 3 * MINUTE_MS))
        for _ in range(20):
            ring_ms, talk_ms = _tenths(dice.uniform(2e3, 8e3)), _tenths(dice.uniform(8, 55) * MINUTE_MS)
            talk_ms = talk_ms if dice.random() < 0.9 else 0
            yield Wanted(at_ms, Who.FLOOD, HACKED, _number(dice, _RANGES), ring_ms, talk_ms, line)


def rotating(calls: Iterable[Wanted], seed: int = SEED) -> list[Wanted]:
    """The same, but the thief's phone shows another caller ID at each call: a colleague's, or one from nowhere."""
    dice = random.Random(f"{seed} rotating")
    return [
        call if call.who not in THIEF else Wanted(*(*astuple(call)[:2], _any_cli(dice), *astuple(call)[3:]))
        for call in calls
    ]


def _any_cli(dice: random.Random) -> str:
    return str(2001 + dice.randrange(60)) if dice.random() < 0.5 else _digits(dice, "1NXXNXXXXXX")


# ------------------------------------------------------------------------------------------------------- numbers


def _number(dice: random.Random, patterns: Sequence[tuple[str, int]]) -> str:
    return _digits(dice, dice.choices([p for p, _ in patterns], [weight for _, weight in patterns])[0])


def _digits(dice: random.Random, pattern: str) -> str:
    return "".join(dice.choice({"X": "0123456789", "N": "23456789"}.get(c, c)) for c in pattern)


def _talk_ms(dice: random.Random, usual_seconds: float, most_ms: int = HOUR_MS) -> int:
    """Many short ones, a few very long."""
    return min(most_ms, _tenths(1000 * usual_seconds * math.exp(dice.gauss(0, 1.1))))


def _tenths(ms: float) -> int:
    """Whole tenths of a second, at least one: what the last digits of a logarithm are must not matter."""
    return max(100, round(ms / 100) * 100)


# -------------------------------------------------------------------------------------------------------- the file


def to_csv(calls: Iterable[Wanted]) -> str:
    """The recording."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(field.name for field in fields(Wanted))
    writer.writerows(astuple(call) for call in calls)
    return out.getvalue()


def recorded() -> list[Wanted]:
    """What ``calls.csv`` holds."""
    with RECORDED.open(newline="") as file:
        return [
            Wanted(
                int(row["at_ms"]), Who(row["who"]), row["cli"], row["number"], int(row["ring_ms"]), int(row["talk_ms"]),
                int(row["line"]),
            )
            for row in csv.DictReader(file)
        ]  # fmt: skip


if __name__ == "__main__":
    RECORDED.write_text(to_csv(wanted(SEED)))
