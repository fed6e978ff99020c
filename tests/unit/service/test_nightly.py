"""The audit of all books at night: when it is done, by whom, and what is told of it."""

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from datetime import time as wall

import pytest
from structlog.testing import capture_logs

from gateway.ports import Audited, Misfit, NotAuditedError
from gateway.service import nightly
from gateway.service.nightly import NightlyAudit, next_after

AT = wall(3, 30)
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC).timestamp()
NIGHT = datetime(2026, 11, 24, 3, 30, tzinfo=UTC).timestamp()
CLEAN = Audited(0.0, 2, 40, {})
WRONG = replace(CLEAN, misfits={"acme": Misfit("entry 2 (topup of one): it is wrong", "one", 3)})


@pytest.fixture(autouse=True)
def _in_no_time(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(nightly, "LOOK_SECONDS", 0)
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


class Night:
    """A clock, an audit and what is told."""

    def __init__(self, outcome: Audited | Exception = CLEAN, last: Audited | None = None, now: float = NOON) -> None:
        self.outcome = outcome
        self.before = last
        self.now = now
        self.runs: list[float] = []
        self.told: list[tuple[int, float]] = []
        self.faults: list[str] = []
        self.is_mine = True

    def last(self, after: float) -> Audited | None:
        """Of an earlier process, or a person."""
        return self.before if self.before is not None and self.before.ended_at > after else None

    async def run(self) -> Audited:
        """Takes a minute."""
        self.runs.append(self.now)
        self.now += 60
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return replace(self.outcome, ended_at=self.now)

    def audited(self, findings: int, ended_at: float) -> None:
        """For Prometheus."""
        self.told.append((findings, ended_at))

    def fault(self, where: str) -> None:
        """Likewise."""
        self.faults.append(where)

    async def until(self, is_so: Callable[[], bool], *at: float) -> None:
        """Let it look at each of these instants."""
        errand = NightlyAudit(self, AT, self, lambda: self.is_mine, lambda: self.now)
        task = asyncio.create_task(errand.run())
        for instant in (self.now, *at):
            self.now = max(self.now, instant)
            await asyncio.sleep(0.02)
        async with asyncio.timeout(5):
            while not is_so():
                await asyncio.sleep(0)
        task.cancel()


async def test_it_is_done_once_a_night() -> None:
    """Not at the start, not before its hour, and not twice."""
    night = Night()
    await night.until(lambda: len(night.told) == 2, NIGHT - 1, NIGHT, NIGHT + 3600, NIGHT + 86_399, NIGHT + 86_400)
    assert night.runs == [NIGHT, NIGHT + 86_400]
    assert night.told == [(0, NIGHT + 60), (0, NIGHT + 86_460)]


async def test_one_that_fell_due_while_no_gateway_ran_is_made_up_for() -> None:
    """And what was found before is shown until then."""
    before = replace(WRONG, ended_at=NOON - 86_400)
    night = Night(last=before)
    await night.until(lambda: len(night.told) == 2, NIGHT - 60)
    assert night.runs == [NOON]
    assert night.told == [(3, NOON - 86_400), (0, NOON + 60)]


async def test_one_that_a_person_does_is_shown_at_once() -> None:
    """What was mended in the morning is no alarm until the night."""
    night = Night(last=replace(WRONG, ended_at=NOON - 60))

    async def mend() -> None:
        while not night.told:
            await asyncio.sleep(0)
        night.before = replace(CLEAN, ended_at=NOON)

    await asyncio.gather(night.until(lambda: len(night.told) == 2), mend())
    assert (night.runs, night.told) == ([], [(3, NOON - 60), (0, NOON)])


async def test_of_several_gateways_one_does_it() -> None:
    """Another one forgets what it had found: only one can say what holds now."""
    night = Night(last=replace(WRONG, ended_at=NOON))
    night.is_mine = False
    await night.until(lambda: len(night.told) == 2, NIGHT)
    assert night.runs == []
    assert night.told == [(3, NOON), (0, 0.0)]


async def test_books_that_do_not_hold_are_an_error_a_tenant() -> None:
    """It says what does not fit, of which call, and what shows more."""
    night = Night(WRONG)
    with capture_logs() as logs:
        await night.until(lambda: bool(night.told), NIGHT)
    assert night.told == [(3, NIGHT + 60)]
    (wrong,) = [line for line in logs if line["event"] == "books.wrong"]
    assert (wrong["log_level"], wrong["tenant"], wrong["call"], wrong["findings"]) == ("error", "acme", "one", 3)
    assert "entry 2" in wrong["problem"]
    (done,) = [line for line in logs if line["event"] == "books.audited"]
    assert (done["tenants"], done["wrong"], done["entries"]) == (2, 1, 40)


async def test_one_that_cannot_be_done_says_so_and_leaves_the_last_one_shown() -> None:
    """Its age is what tells; the next night it is tried again."""
    night = Night(NotAuditedError("Redis is away"), replace(CLEAN, ended_at=NOON))
    with capture_logs() as logs:
        await night.until(lambda: len(night.faults) == 2, NIGHT, NIGHT + 86_400)
    assert night.told == [(0, NOON)]
    assert night.faults == ["books_audit"] * 2
    assert {line["problem"] for line in logs} == {"Redis is away"}


@pytest.mark.parametrize(
    ("after", "due"),
    [
        ("2026-03-28T02:30:00+00:00", "2026-03-29T01:30:00+00:00"),  # at 03:30, the first day of summer time
        ("2026-03-27T02:30:00+00:00", "2026-03-28T02:30:00+00:00"),
        ("2026-10-24T12:00:00+00:00", "2026-10-25T02:30:00+00:00"),
    ],
)
def test_its_hour_is_that_of_the_wall(monkeypatch: pytest.MonkeyPatch, after: str, due: str) -> None:
    """When the clocks change it is done once, too."""
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    found = next_after(datetime.fromisoformat(after).timestamp(), AT)
    assert datetime.fromtimestamp(found, UTC) == datetime.fromisoformat(due)
