"""A gateway among others: it is heard of in Redis several times a second, and has the switches that are its own.

One command a turn, with all that this gateway has and wishes. Its leases last as long as it is heard of, counted by
Redis' clock; by its own clock they end sooner, since that counts from before the question was sent.

- A gateway that lives alone is heard of more seldom, and waited for longer: there is nobody to wait. The first turn of
  another one ends that.
- Redis that answers nobody: who had a switch goes on with it (Certainty). Two questions in a row must fail for that, as
  the first may have waited in a process that was itself stopped. When it is back, its last owner is waited for: it has
  the calls, and what it lent them.
"""

import asyncio
import secrets
import time
from collections.abc import Callable, Iterable
from dataclasses import replace

import structlog

from gateway.core import ownership
from gateway.core.ownership import SWITCH, Member, Role, Stand, View, Want, Wish
from gateway.ports import Leases, LedgerRejected, LedgerUnavailable, Watch
from gateway.service.guard import Certainty
from gateway.service.post import Post

log = structlog.get_logger(__name__)

ARCHIVE = "archive"
TURNS_A_LEASE = 4
ALONE_FACTOR = 5
RETRY_SECONDS = 0.05
# An archive is files on one machine: it stays there for as long as that one may come back.
ARCHIVE_PATIENCE_MS = 600_000
HAND_OVER_SECONDS = 5.0
LOOK_SECONDS = 0.01
FAILURES_OF_SILENCE = 2
# When Redis is back, the last owner is heard of again within a lease and a retry.
LAST_OWNER_FACTOR = 1.25


class Ownership:
    """The leases of one gateway. ``posts`` are added before the first turn."""

    def __init__(
        self,
        leases: Leases,
        name: str,
        lease_ms: int,
        watch: Watch,
        *,
        archives: bool = False,
        siblings: frozenset[str] = frozenset(),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``siblings``: other processes of this machine, which never have its switches."""
        self.name = name
        self.posts: dict[str, Post] = {}
        self.certainty = Certainty(until=0.0, is_unheard=True, clock=clock)
        self.view = View()
        self.is_draining = False
        self._leases = leases
        self._lease_ms = lease_ms
        self._watch = watch
        self._archives = archives
        self._siblings = siblings
        self._clock = clock
        self._life = secrets.token_hex(6)
        self._viewed_at = clock()
        self._changed_at = clock()
        self._ttl_ms = lease_ms
        self._failures = 0
        self._patient_until = 0.0  # what another had last is left to it
        self._is_first = True
        self._was_twin = False
        self._woken = asyncio.Event()

    def add(self, post: Post) -> None:
        """A switch of the config."""
        self.posts[post.name] = post

    def wake(self) -> None:
        """Have the next turn now."""
        self._woken.set()

    @property
    def archives(self) -> bool:
        """It is this gateway that writes the journal to disk."""
        lease = self.view.leases.get(ARCHIVE)
        return self.certainty.is_sure and lease is not None and lease.is_mine

    @property
    def view_age_seconds(self) -> float:
        """Since Redis last said whose the switches are; since the start, where it has not yet."""
        return self._clock() - self._viewed_at

    @property
    def others(self) -> list[Member]:
        """The other gateways that live, by what was last heard of them."""
        passed_ms = (self._clock() - self._viewed_at) * 1000
        return [one for one in self.view.members if one.name != self.name and one.left_ms > passed_ms]

    @property
    def _has_company(self) -> bool:
        """Another gateway may have what is this one's."""
        return any(other.name not in self._siblings for other in self.others)

    # ------------------------------------------------------------------------------------------------------ the turns

    async def run(self) -> None:
        """Until cancelled: one turn after the other."""
        while True:
            self._woken.clear()
            pause_seconds = await self.turn()
            if pause_seconds > 0:
                try:
                    async with asyncio.timeout(pause_seconds):
                        await self._woken.wait()
                except TimeoutError:
                    pass

    async def turn(self) -> float:
        """Ask and tell once; seconds until the next turn. What fails is told in the log, and tried again."""
        wants, sent_at = self._wants(), self._clock()
        self._ttl_ms = self._lease_ms * (1 if self.certainty.has_company else ALONE_FACTOR)
        try:
            async with asyncio.timeout(self._lease_ms / 1000):
                view = await self._leases.lease_turn(
                    self._me(), self._life, self._ttl_ms, wants, is_first=self._is_first
                )
        except (LedgerUnavailable, LedgerRejected, TimeoutError) as error:
            return self._failed(error)
        self._take(view, sent_at)
        return self._pause_seconds()

    def _failed(self, error: Exception) -> float:
        self._failures += 1
        if self._failures == FAILURES_OF_SILENCE:
            self.certainty.is_ledger_silent = not self._is_first
            log.warning("ownership.ledger_silent", problem=str(error) or "no answer in time")
            self._go_on(is_told=False)
        return RETRY_SECONDS

    def _go_on(self, *, is_told: bool) -> None:
        for post in self.posts.values():
            if self.certainty.is_sure and post.is_ours:
                post.guard.go_on(is_told=is_told)

    def _take(self, view: View, sent_at: float) -> None:
        if self._failures:
            self._patient_until = self._clock() + self._lease_ms * LAST_OWNER_FACTOR / 1000
        self._failures, self._is_first = 0, False
        self._tell_twin(view)
        before = {name for name, lease in self.view.leases.items() if lease.is_mine}
        self.view, self._viewed_at = view, self._clock()
        certainty = self.certainty
        certainty.is_unheard = False
        certainty.is_ledger_silent, certainty.has_company = False, self._has_company
        certainty.until = sent_at + self._ttl_ms / 1000
        for name, post in self.posts.items():
            post.hear(view.leases.get(SWITCH + name, ownership.Lease(SWITCH + name)))
        if before != {name for name, lease in view.leases.items() if lease.is_mine}:
            self._changed_at = self._clock()
        self._go_on(is_told=True)

    def _tell_twin(self, view: View) -> None:
        if view.is_twin and not self._was_twin:
            self._watch.fault("ownership")
            remedy = "give each a name of its own in [gateway] of gateway.toml, and a queue_dir of its own in [ledger]"
            log.error("ownership.twin", name=self.name, problem="another gateway runs under this name", remedy=remedy)
        self._was_twin = view.is_twin

    def _pause_seconds(self) -> float:
        """Until this gateway has to be heard of, or another one's switch becomes free."""
        pause_ms = (self._lease_ms if self.certainty.has_company else self._ttl_ms) / TURNS_A_LEASE
        for post in self.posts.values():
            if post.role is Role.STANDBY and post.line.is_up and not post.lease.is_mine:
                rest_ms = post.lease.left_ms if not post.lease.is_free else ownership.SECOND_CHOICE_MS / 4
                pause_ms = min(pause_ms, rest_ms + 1)
        return pause_ms / 1000

    # ------------------------------------------------------------------------------------------------------ the wishes

    def _me(self) -> Member:
        hears = frozenset(SWITCH + name for name, post in self.posts.items() if post.line.is_up)
        return Member(self.name, sum(len(post.board) for post in self.posts.values()), self.is_draining, hears)

    def _wants(self) -> list[Want]:
        now = self._clock()
        stands = [self._stand(post, now) for post in self.posts.values()]
        wants = ownership.wishes(self._me(), self.others, stands, int((now - self._changed_at) * 1000))
        found = [self._carried_out(want) for want in wants]
        if self._archives:
            found.append(Want(ARCHIVE, Wish.OWN, patience_ms=ARCHIVE_PATIENCE_MS))
        return found

    def _stand(self, post: Post, now: float) -> Stand:
        passed_ms = (now - self._viewed_at) * 1000
        left_ms = max(0, int(post.lease.left_ms - passed_ms))
        return Stand(
            replace(post.lease, name=SWITCH + post.name, left_ms=left_ms),
            len(post.board),
            0 if post.line.is_up else _ms_since(post.deaf_since, now),
            _ms_since(post.free_since, now),
            post.is_avoided,
            post.is_given,
        )

    def _carried_out(self, want: Want) -> Want:
        """A switch is given once it is finished; until then it is kept, and not taken back from who got it.

        After a silence of Redis none is taken at once from its last owner.
        """
        post = self.posts[want.name.removeprefix(SWITCH)]
        is_anothers = not post.lease.is_mine and post.lease.owner != ""
        if want.wish is Wish.OWN and is_anothers and (self._failures or self._clock() < self._patient_until):
            return replace(want, wish=Wish.LOOK)
        if want.wish is not Wish.GIVE:
            return want
        post.hand_over()
        return want if post.is_given else replace(want, wish=Wish.OWN)

    # -------------------------------------------------------------------------------------------------------- draining

    async def drain(self, switch: str = "") -> list[str]:
        """Hand one switch over, or all of them; which were not, since no other gateway hears them, or not in time."""
        if switch:
            self.posts[switch].is_avoided = True
        else:
            self.is_draining = True
        mine = [post for post in self.posts.values() if post.is_ours and switch in {"", post.name}]
        self.wake()
        deadline = self._clock() + HAND_OVER_SECONDS
        while self._has_heirs(mine) and self._clock() < deadline:  # noqa: ASYNC110 - Redis has the word
            await asyncio.sleep(LOOK_SECONDS)
        return sorted(post.name for post in mine if post.lease.is_mine)

    def resume(self, switch: str = "") -> None:
        """Have switches again; of one that was sent away, or of all."""
        for post in self.posts.values():
            post.is_avoided = post.is_avoided and switch not in {"", post.name}
        self.is_draining = self.is_draining and bool(switch)
        self.wake()

    async def leave(self) -> None:
        """The last turn: what is still this gateway's is free at once, for who hears it."""
        try:
            async with asyncio.timeout(self._lease_ms / 1000):
                await self._leases.lease_turn(self._me(), self._life, 0, (), is_first=False)
        except (LedgerUnavailable, LedgerRejected, TimeoutError) as error:
            log.warning("ownership.not_left", problem=str(error))

    def _has_heirs(self, posts: Iterable[Post]) -> bool:
        able = [other for other in self.others if not other.is_draining]
        return any(SWITCH + post.name in other.hears for post in posts if post.lease.is_mine for other in able)


def _ms_since(instant: float | None, now: float) -> int:
    return 0 if instant is None else max(1, int((now - instant) * 1000))
