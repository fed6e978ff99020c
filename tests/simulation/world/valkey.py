"""The second mode: the same seeds with the real ledger, on a real server whose clock is played.

Each step is carried out by the model, too: what the real one answers must be the same, and what it keeps must add up
when all is over. The network between is still the made-up one; while the server is asked, no time passes in the world.
"""

import asyncio
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from gateway.adapters.redis.ledger import RedisLedger
from gateway.ports import AccountTerms, LedgerRejected, StoredCall
from tests.ledger.bank import Bank
from tests.ledger.crash import CrashServer
from tests.ledger.preload import faketime_library
from tests.simulation.fraud.hours import PATIENCE_SECONDS, ServerClock

from .clock import OutwardLoop
from .net import World
from .plan import plan_of
from .play import Played, play_on
from .vault import EPOCH_MS, Vault

# By the server's clock to the hundredth of a second, or of no interest: told by the real one, and not compared.
NOT_COMPARED: Final = frozenset({"tend", "now_ms", "expired_calls", "note_refusal", "lease_turn"})
Tell = Callable[[Any], None]


class ValkeyVault(Vault):
    """The model and the real ledger, side by side."""

    def __init__(self, world: World, url: str, clock: ServerClock) -> None:
        super().__init__(world)
        self._clock = clock
        self._ledger = RedisLedger(url, sync=False, timeout_seconds=PATIENCE_SECONDS)
        self._waiting: deque[Callable[[], Any]] = deque()

    async def open(self, terms: AccountTerms, credit: int) -> None:
        """Open the account in both."""
        self.world.loop.asked += 1
        self._clock.set(self.now())
        await self._ledger.connect()
        await self._ledger.open_account(terms)
        self.world.loop.asked -= 1
        await super().open(terms, credit)

    def top_up(self, tenant: str, name: str, micros: int) -> None:
        """A person pays into both."""
        super().top_up(tenant, name, micros)
        self._in_turn(lambda: self._ledger.top_up(tenant, name, micros, "USD", "test", None), lambda _: None)

    def ask(self, name: str, words: tuple[Any, ...], more: dict[str, Any], tell: Tell) -> None:
        """One step in both; the real one's answer is told."""
        modelled: list[Any] = []
        super().ask(name, words, more, modelled.append)

        def compare(told: Any) -> None:
            if name not in NOT_COMPARED and _words(told) != _words(modelled[0]):
                self.on_difference(f"{name}{words} is {_words(told)}, and by the model {_words(modelled[0])}")
            tell(told)

        self._in_turn(lambda: getattr(self._ledger, name)(*words, **more), compare)

    def remember(self) -> None:
        """The server has no replica: nothing is lost here."""

    def fail_over(self) -> None:
        """Likewise."""

    async def audit(self) -> None:
        """What the server keeps adds up."""
        self.world.loop.asked += 1
        for tenant, shelf in self.shelves.items():
            await Bank(self._ledger, tenant).audit()
            account = await self._ledger.balance(tenant)
            if (account.held_micros, account.charges_micros) != (shelf.model.held, shelf.model.charges):
                self.on_difference(f"{tenant}: the server has {account}")
        await self._ledger.close()
        self.world.loop.asked -= 1

    # ------------------------------------------------------------------------------------------------ one by one

    def _in_turn(self, step: Callable[[], Any], tell: Tell) -> None:
        self.world.loop.asked += 1
        now_ms = self.now()
        self._waiting.append(lambda: self._send(step, tell, now_ms))
        if len(self._waiting) == 1:
            self._waiting[0]()

    def _send(self, step: Callable[[], Any], tell: Tell, now_ms: int) -> None:
        self._clock.set(now_ms)
        try:
            sent = asyncio.ensure_future(step())
        except LedgerRejected as error:
            sent = self.world.loop.create_future()
            sent.set_exception(error)
        sent.add_done_callback(lambda done: self._done(done, tell))

    def _done(self, sent: "asyncio.Future[Any]", tell: Tell) -> None:
        self._waiting.popleft()
        self.world.loop.asked -= 1
        error = sent.exception()
        assert error is None or isinstance(error, LedgerRejected), error
        tell(error if error is not None else sent.result())
        if self._waiting:
            self._waiting[0]()


def _words(told: Any) -> Any:
    """What both must agree on."""
    if isinstance(told, LedgerRejected):
        return told.code
    if isinstance(told, StoredCall):
        figures = (told.step, told.granted_seconds, told.charged_micros, told.held_micros, told.included_seconds)
        return told.key.call_id, told.state, told.leg, told.answered_at_ms, figures
    if isinstance(told, Sequence) and not isinstance(told, str):
        return sorted(map(_words, told))
    return told


@contextmanager
def server() -> Iterator[tuple[str, ServerClock]]:
    """A server with a clock that can be played. Raises LabUnavailable where there is no libfaketime."""
    library = faketime_library()
    with tempfile.TemporaryDirectory(prefix="callgate-world-") as folder:
        clock = ServerClock(Path(folder) / "clock", EPOCH_MS)
        machine = CrashServer(Path(folder), appendfsync="no", preload=[library], settings=clock.settings)
        asyncio.run(machine.start())
        try:
            yield machine.url, clock.connect(machine.url)
        finally:
            clock.close()
            asyncio.run(machine.stop())


def play_real(seed: int, url: str, clock: ServerClock) -> Played:
    """Play a seed; the server is emptied before."""
    asyncio.run(_empty(url))
    return play_on(OutwardLoop(), plan_of(seed), lambda world: ValkeyVault(world, url, clock))


async def _empty(url: str) -> None:
    ledger = RedisLedger(url, sync=False)
    await ledger.connect()
    await ledger.pipe.call("FLUSHALL")
    await ledger.close()


def tell_many(seeds: Iterable[int]) -> int:
    """Play seeds on one server, and print what came of them. Exit code 1: one failed."""
    with server() as (url, clock):
        number = 0
        for number, seed in enumerate(seeds, start=1):  # noqa: B007 - it is told below
            done = play_real(seed, url, clock)
            if done.failure:
                print("\n".join(done.lines[-60:]))
                print(f"seed {seed}: {done.failure}\nreplay: python -m tests.simulation.world --valkey --seed {seed}")
                return 1
        print(f"{number} seeds on a real server, all clean")
    return 0
