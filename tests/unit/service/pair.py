"""Two gateways on one PBX: two services on the real ledger, leases in memory that a test moves by hand."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from gateway.adapters.redis.ledger import RedisLedger
from gateway.core.facts import Fact, LinkUp
from gateway.core.ownership import Lease, Member, Role, View, Want, Wish
from gateway.ports import CallKey, LeaseGiven, LedgerUnavailable
from gateway.service.exposure import Exposures
from gateway.service.guard import GuardedSwitch, Tenure
from gateway.service.ownership import Ownership
from gateway.service.post import Post
from gateway.service.resync import Resync
from gateway.service.switchboard import Switchboard
from gateway.service.take_back import TakeBack
from gateway.service.unsettled import Arrears
from gateway.service.world import World

from .house import Drawer, House, Shelf, Tally, until


class Clock:
    """Seconds that a test moves."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        """What it says."""
        return self.now


class FakeLeases:
    """Implements ports.Leases for all gateways of a test, by one clock; ``is_down``: nobody is answered."""

    def __init__(self, clock: Clock, ledger: RedisLedger) -> None:
        self.clock = clock
        self.real = ledger
        self.members: dict[str, tuple[Member, str, float]] = {}
        self.owners: dict[str, tuple[str, str, int, str]] = {}  # owner, life, fence, heir
        self.cut_off: set[str] = set()
        self.turns = 0
        self.told: list[tuple[Member, int]] = []

    async def lease_turn(self, me: Member, life: str, ttl_ms: int, wants: Sequence[Want], *, is_first: bool) -> View:
        """As lua/leases.lua does it, without twins and patience."""
        await asyncio.sleep(0)
        self.turns += 1
        if me.name in self.cut_off:
            raise LedgerUnavailable("cut off")
        self.told.append((me, ttl_ms))
        self.members[me.name] = (me, life, self.clock() + ttl_ms / 1000)
        leases = {}
        for want in wants:
            owner, its_life, fence, heir = self.owners.get(want.name, ("", "", 0, ""))
            is_mine = (owner, its_life) == (me.name, life)
            if want.wish is Wish.GIVE and is_mine:
                self.owners[want.name] = ("", "", fence, want.heir)
            elif want.wish is Wish.OWN and not is_mine and not self._left_ms(owner, its_life) and heir in {"", me.name}:
                self.owners[want.name] = (me.name, life, max(fence + 1, int(self.clock() * 1000)), "")
            leases[want.name] = self._lease(want.name, me.name, life)
        now = self.clock()
        alive = [(one, till) for one, _, till in self.members.values() if till > now]
        return View(tuple(replace(one, left_ms=int((till - now) * 1000)) for one, till in alive), leases)

    def _left_ms(self, owner: str, life: str) -> int:
        member = self.members.get(owner)
        return max(0, int((member[2] - self.clock()) * 1000)) if member and member[1] == life else 0

    def _lease(self, name: str, me: str, life: str) -> Lease:
        owner, its_life, fence, heir = self.owners.get(name, ("", "", 0, ""))
        is_mine = (owner, its_life) == (me, life)
        return Lease(name, owner, is_mine=is_mine, fence=fence, left_ms=self._left_ms(owner, its_life), heir=heir)

    async def lease_look(self) -> View:
        """Not asked here."""
        raise NotImplementedError

    async def claim(self, key: CallKey) -> None:
        """By the real ledger, which keeps the fences."""
        await self.real.claim(key)


class Line:
    """Implements post.Line."""

    is_up = True


class Site:
    """One gateway: its service on the house's ledger and PBX, its own view of who owns what."""

    def __init__(self, house: House, leases: FakeLeases, clock: Clock, name: str) -> None:
        self.house = house
        self.leases = leases
        self.tally = Tally()
        self.drawer = Drawer()
        self.line = Line()
        self.resync = Resync()
        self.ownership = Ownership(leases, name, 600, self.tally, clock=clock)
        tenure, exposures = Tenure(), Exposures(Shelf(), self.tally)
        self.guard = GuardedSwitch(house.switch, tenure, self.ownership.certainty)
        world = World(house.books, self.drawer, self.guard, self.tally, self.tally, lambda _: None, exposures, tenure)
        self.board = Switchboard(world, house.directory, 2_000, self.resync.on_gap)
        arrears = Arrears(house.books, self.drawer, self.tally, lambda _: None)
        take_back = TakeBack(house.books, leases, house.directory, arrears)
        self.post = Post(self.board, self.guard, self.line, self.resync, take_back, self.ownership.wake, clock)
        self.ownership.add(self.post)

    async def turn(self) -> None:
        """One turn, and what follows of it at once."""
        await self.ownership.turn()
        await asyncio.sleep(0.01)

    async def owns(self) -> None:
        """Turns until it is the owner."""
        while self.post.role is not Role.OWNER:
            await self.turn()

    def stop(self) -> None:
        """As a killed process: nothing more is heard of it."""
        self.post.stop()
        self.resync.stop()
        self.board.stop()


class Pair:
    """East owns the switch, west listens."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.clock = Clock()
        self.leases = FakeLeases(self.clock, house.books.real)
        self.east = Site(house, self.leases, self.clock, "east")
        self.west = Site(house, self.leases, self.clock, "west")
        self.deaf: set[Site] = set()
        self.is_deaf_to_news = False

    async def open(self) -> None:
        """Both hear the PBX, and each other."""
        self.tell(LinkUp(restarted=False))
        await self.east.owns()
        await self.west.turn()
        for _ in range(2):  # it hears of its company, and counts on being missed sooner
            await self.east.turn()

    def tell(self, fact: Fact) -> None:
        """What the PBX tells, to both."""
        for site in (self.east, self.west):
            if site not in self.deaf:
                site.post.handle(fact)

    async def follow_news(self) -> None:
        """What the ledger tells, to both, as bootstrap does it."""
        async for news in self.house.books.real.subscribe():
            for site in (self.east, self.west):
                if not (isinstance(news, LeaseGiven) or self.is_deaf_to_news):
                    site.post.tell(news)

    async def east_dies(self) -> None:
        """Without a word; west has the switch when east's time is over."""
        self.east.stop()
        self.deaf.add(self.east)
        self.clock.now += 0.7
        await self.west.owns()

    async def verdicts(self, count: int) -> list[str]:
        """What was written to the PBX, once there are so many: the words of decision alone."""
        written = self.house.switch.verdicts
        await until(lambda: len(written) >= count)
        return [verdict.split(":")[1] for _, verdict in written]
