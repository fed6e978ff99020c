"""The figures of the ledger's README are those of the ledger: its tables are made here, and must stand there."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from gateway.adapters import redis
from gateway.adapters.redis.ledger import RedisLedger
from gateway.core.tenant import Fairness
from gateway.ports import Grant
from rating import MICROS, charge_micros, format_amount

from .bank import Bank, flat
from .model_books import DAY_MS
from .sharing import MINUTE_MS, Line
from .test_known import FIFTH, first

README = Path(redis.__file__).with_name("README.md").read_text("utf-8")
MOVES = ("source", "credit", "held", "debt", "revenue", "expired", "adjustment")
SHOWN = 7  # steps of the example, of which there are more
ASKED_AT = (0, 1, 2)


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, numbers_from: int = 1000) -> str:
    """A table of Markdown; columns from that one on are numbers."""
    rule = ["---" if i < numbers_from else "---:" for i in range(len(head))]
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, rule, *rows)) + "\n"


def at(ms: int) -> str:
    """A time of the example's clock."""
    return f"{ms // MINUTE_MS}:{ms % MINUTE_MS // 1000:02d}"


def moved(entry: dict[str, str]) -> list[str]:
    """One entry of the journal as the README shows it."""
    amounts = ["" if entry[name] == "0" else format_amount(int(entry[name])) for name in MOVES]
    return [entry["n"], entry["type"], entry["lot"], *amounts, format_amount(int(entry["balance"]))]


async def test_the_small_story_of_entries(bank: Bank) -> None:
    """Each line of its table is an entry that the ledger wrote."""
    await bank.open()
    now_ms = await bank.ledger.now_ms(bank.tenant)
    await bank.top_up(10 * MICROS, "card-1", expires_at_ms=now_ms + 365 * DAY_MS)
    await bank.reserve(flat((60, 1 * MICROS)))
    await bank.answer()
    await bank.extend(1, 800_000, flat((120, 2 * MICROS)))
    await bank.settle(2, 1_500_000, 90)
    await bank.top_up(5 * MICROS, "gift", expires_at_ms=now_ms + DAY_MS)
    await bank.lapse(2)
    await bank.reverse("card-1")
    await bank.top_up(4 * MICROS, "card-2", expires_at_ms=now_ms + 365 * DAY_MS)
    made = table(("n", "type", "lot", *MOVES, "balance"), map(moved, await bank.journal()), numbers_from=3)
    assert made in README, made
    assert await bank.figures() == (2_500_000, 0, 2_500_000)


async def shared(ledger: RedisLedger, tenant: str, fairness: Fairness) -> Line:
    """Three calls on 8.00 at 0.20 a minute and a quantum of 30 minutes, a minute apart; all talk on to their cut."""
    line = Line(ledger, tenant, fairness)
    for minute in ASKED_AT:
        await line.ask(minute)
    await line.run_until()
    await line.close()
    return line


def told(line: Line) -> list[str]:
    """What became of its calls."""
    cells = []
    for talk in line.talks:
        if isinstance(talk.first, Grant):
            cells.append(f"holds {format_amount(talk.first.held_micros)}, ends at {at(line.ended_ms(talk))}")
        else:
            cells.append("refused")
    return cells


async def test_how_calls_share(bank: Bank, ledger: RedisLedger) -> None:
    """Off, share and shrink, each on 8.00 of its own; all of it is spent."""
    await bank.open()
    rows = []
    for fairness in Fairness:
        one = Bank(ledger, f"{bank.tenant}-{fairness}")
        await one.open(credit=8 * MICROS)
        rows.append([f"`{fairness}`", *told(await shared(ledger, one.tenant, fairness))])
        assert await one.figures() == (0, 0, 0)
        await one.audit()
    made = table(("`fair`", "first call, asks at 0:00", "second, at 1:00", "third, at 2:00"), rows)
    assert made in README, made


async def test_how_calls_shrink_step_by_step(bank: Bank) -> None:
    """The first steps of the ledger with `shrink`."""
    await bank.open(credit=8 * MICROS)
    line = await shared(bank.ledger, bank.tenant, Fairness.SHRINK)
    rows = []
    for step in line.steps[:SHOWN]:
        assert step.until_ms is not None
        assert step.available_micros is not None
        available = format_amount(step.available_micros)
        rows.append([at(step.at_ms), f"{step.what} {step.call}", at(step.until_ms), available])
    made = table(("at", "step", "granted until", "available after it"), rows, numbers_from=2)
    assert made in README, made


async def test_who_hangs_up_gives_back(bank: Bank) -> None:
    """Off: after the first call's 12 minutes 5.60 are there, of which the second holds 2.00."""
    await bank.open(credit=8 * MICROS)
    await bank.reserve(first(), "a")
    await bank.reserve(first(), "b")
    await bank.answer("a")
    await bank.settle(1, charge_micros(FIFTH, 720), 720, "a")
    balance, held, available = map(format_amount, await bank.figures())
    assert f"a balance of {balance}, of which the second still holds {held}: {available} is available" in README
