"""The gate from the bytes of AMI to the bytes of AMI and Redis, wired as ``gateway.bootstrap`` does it.

All between the two transports is the real thing: links, judge, switch, post, guard, switchboard, sessions, lanes, the
ledger's client, metrics, the log's JSON. Left out are other gateways (this one has the switch, under a fence), HTTP,
and whoever looks on.
"""

import asyncio
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, cast

from gateway import logs
from gateway.adapters.ami.settings import AmiSettings
from gateway.adapters.ami.switch import AmiSwitch
from gateway.adapters.exposure_file import FileExposureStore
from gateway.adapters.metrics import PrometheusWatch
from gateway.adapters.redis.ledger import RedisLedger
from gateway.adapters.settle_queue import FileSettleQueue
from gateway.core.ownership import Role
from gateway.core.tenant import Tenant
from gateway.logs import LogCDRSink
from gateway.service.directory import Directory
from gateway.service.exposure import Exposures
from gateway.service.guard import Certainty, GuardedSwitch, Tenure
from gateway.service.live import LiveFeed
from gateway.service.post import Post
from gateway.service.resync import Resync
from gateway.service.switchboard import Switchboard
from gateway.service.take_back import TakeBack
from gateway.service.unsettled import Arrears
from gateway.service.world import World
from rating import Tariff, TariffChain, preload_number_types
from tests.unit.core import build

from .calls import ASK, CALLER_ENDED, CALLER_UP, DIAL_BEGIN, DIAL_END, LEG_ENDED, RINGING, UP, Phones
from .clock import Clock, HandLoop
from .servers import POOR, Asterisk, Redis, Wire

NOWHERE: Final = Path("/nonexistent/callgate-guard")
REDIS_PATH: Final = "/redis.sock"
BY_MINUTE: Final = "minute"  # a tenant whose calls are billed by the minute; those of all others by the second
NEVER_SECONDS: Final = 1e9  # no ping comes in between
STEP_SECONDS: Final = 0.05  # from one event of a call to the next
ALARM_SECONDS: Final = 55.1  # after the answer, by then the alarm has rung: a quantum less the lead
OVER_SECONDS: Final = 3.0  # by then no timer of a call that is over is left


def tenants(count: int) -> list[Tenant]:
    """So many that pay by the second, one by the minute, and one that cannot pay."""
    second, minute = (TariffChain((Tariff("test", (build.rate(initial=each, increment=each),)),)) for each in (1, 60))
    names = ["acme", *(f"tenant-{number}" for number in range(1, count)), POOR]
    paying = [build.tenant(tenant_id=name, tariffs=second) for name in names]
    return [*paying, build.tenant(tenant_id=BY_MINUTE, tariffs=minute)]


class Gate:
    """One gateway with one switch; ``with`` the loop running."""

    def __init__(self, clock: Clock, paying: Sequence[Tenant]) -> None:
        self.clock = clock
        self.asterisk = Asterisk(clock)
        self.redis = Redis()
        self.log = io.StringIO()
        self.loop = HandLoop(clock, self._connect)
        preload_number_types()
        logs.configure("info", self.log)
        with self.loop.running():
            self._wire(paying)

    def _connect(self, where: str, protocol: Any) -> asyncio.Transport:
        return Wire(self.loop, protocol, self.redis.take if where == REDIS_PATH else self.asterisk.take)

    def _wire(self, paying: Sequence[Tenant]) -> None:
        self.watch = PrometheusWatch(paying, ["pbx1"])
        directory = Directory(paying)
        self.ledger = RedisLedger(f"unix://{REDIS_PATH}", observe=self._observe)
        queue = FileSettleQueue(NOWHERE, self.watch)
        exposures = Exposures(FileExposureStore(NOWHERE, self.watch), self.watch)
        take_back = TakeBack(self.ledger, self.ledger, directory, Arrears(self.ledger, queue, self.watch, _ignore))
        boards: dict[str, Switchboard] = {}
        onlooker = LiveFeed(cast("Any", None), directory, boards, cast("Any", None))
        settings = AmiSettings("pbx1", "callgate", "secret", ping_interval_seconds=NEVER_SECONDS)
        self.switch = AmiSwitch(settings, lambda fact: self.post.handle(fact))  # noqa: PLW0108 - it is not bound yet
        tenure, resync = Tenure(fence=1), Resync()
        guard = GuardedSwitch(self.switch, tenure, Certainty())
        sink = LogCDRSink()
        world = World(self.ledger, queue, guard, self.watch, sink, _ignore, exposures, tenure, onlooker)
        self.board = boards["pbx1"] = Switchboard(world, directory, 2_000, resync.on_gap)
        self.post = Post(self.board, guard, self.switch, resync, take_back, lambda: None)
        self.post.role, tenure.is_held = Role.OWNER, True

    def _observe(self, function: str, seconds: float, ok: bool) -> None:
        self.watch.ledger_called(function, seconds, is_error=not ok)

    def start(self) -> None:
        """Connect; with the loop running, as all that follows."""
        self.switch.start()
        self.loop.go_on(OVER_SECONDS)
        assert self.switch.is_up, self.switch.fault

    def stop(self) -> None:
        """Let go of all. Raises AssertionError for calls that are left, and for what the log complains of."""
        assert not len(self.board), f"{len(self.board)} calls are left"
        problems = [line for line in self.log.getvalue().splitlines() if '"level": "info"' not in line]
        assert not problems, problems[:5]
        end = self.loop.create_task(self._stop())
        self.loop.go_on(OVER_SECONDS)
        end.result()

    async def _stop(self) -> None:
        await self.switch.stop()
        await self.ledger.close()

    # ---------------------------------------------------------------------------------------------- steps of calls

    def hear(self, calls: Sequence[Phones], *events: int) -> None:
        """These events of these calls, in one chunk; then some time."""
        self.hear_now(calls, *events)
        self.loop.go_on(STEP_SECONDS)

    def hear_now(self, calls: Sequence[Phones], *events: int) -> None:
        """Likewise, and all that comes of it before any time passes."""
        assert self.asterisk.events is not None
        stamp = self.asterisk.stamp()
        self.asterisk.events.hear(b"".join([call.tell(stamp, *events) for call in calls]))
        self.loop.rest()

    def ask(self, calls: Sequence[Phones]) -> None:
        """The hook asks, and hears the verdict."""
        self.hear(calls, ASK)

    def dial(self, calls: Sequence[Phones]) -> None:
        """The trunk is dialled, and rings."""
        self.hear(calls, DIAL_BEGIN)
        self.hear(calls, RINGING)

    def answer(self, calls: Sequence[Phones]) -> None:
        """The far end answers."""
        self.hear(calls, UP, DIAL_END, CALLER_UP)

    def talk(self) -> None:
        """From the answer until the first quantum was extended."""
        self.loop.go_on(ALARM_SECONDS)

    def hang_up(self, calls: Sequence[Phones]) -> None:
        """Both channels end; the call is settled, and told."""
        self.hear(calls, CALLER_ENDED, LEG_ENDED)
        self.loop.go_on(OVER_SECONDS)

    def end_caller(self, calls: Sequence[Phones]) -> None:
        """The channel that asked ends, without another."""
        self.hear(calls, CALLER_ENDED)
        self.loop.go_on(OVER_SECONDS)

    def live(self, calls: Sequence[Phones], at_once: int = 16) -> None:
        """Have these calls answered, not more of them at a time than one tenant may ask for."""
        for start in range(0, len(calls), at_once):
            some = calls[start : start + at_once]
            self.ask(some)
            self.hear(some, DIAL_BEGIN)
            self.answer(some)


def _ignore(_tenant: str) -> None:
    """An outbox that has something: nobody delivers it here."""
