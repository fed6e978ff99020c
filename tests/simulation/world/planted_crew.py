"""More faults that somebody could make: of leases, takeovers, forks and transfers."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from gateway.core.facts import Ask, Fact, Moved
from gateway.service.fork import Fork
from gateway.service.guard import Certainty, GuardedSwitch
from gateway.service.ownership import Ownership
from gateway.service.post import Post
from gateway.service.recall import Recall
from gateway.service.resync import Resync
from gateway.service.strays import Strays
from gateway.service.switchboard import Switchboard
from gateway.service.take_back import TakeBack

from .vault import Vault

Patch = Callable[[], Any]


def _does_not_look_at_fences() -> Any:
    """The ledger takes a step of a former owner."""
    return mock.patch.object(Vault, "check_fence")


def _takes_over_and_forgets_the_calls() -> Any:
    """Who gets a switch answers asks, and does not go on with the calls of before."""

    async def adopt(_self: TakeBack, _board: Switchboard) -> None:
        pass

    return mock.patch.object(TakeBack, "adopt", adopt)


def _goes_on_without_a_lease() -> Any:
    """A gateway that was stopped, or cut off, does not look whether its lease still counts."""
    return mock.patch.object(Certainty, "is_sure", property(lambda _: True))


@contextmanager
def _answers_as_a_standby() -> Iterator[None]:
    """Who does not own the switch decides asks as well."""
    handle = Post.handle

    def eager(self: Post, fact: Fact) -> None:
        if isinstance(fact, Ask) and not self.is_ours:
            self.board.world.tenure.is_held = True
            self.board.handle(fact)
        handle(self, fact)

    with mock.patch.object(Post, "handle", eager), mock.patch.object(GuardedSwitch, "_check_held"):
        yield


def _remembers_nothing() -> Any:
    """Who takes over knows nothing of what happened in the seconds without an owner."""
    return mock.patch.object(Recall, "story_of", return_value=[])


def _looks_too_seldom() -> Any:
    """A gateway looks once in several leases whether a switch is free."""
    return mock.patch.object(Ownership, "_pause_seconds", lambda self: self._lease_ms * 3 / 1000)


def _gives_away_and_keeps() -> Any:
    """Who hands a switch over goes on with it."""
    return mock.patch.object(Post, "_let_go")


def _keeps_the_spares() -> Any:
    """What a Dial to several trunks held for its further legs stays held when one has won."""
    return mock.patch.object(Fork, "release")


def _does_not_see_a_transfer() -> Any:
    """Channels change places, the cap is lost, and nobody looks."""
    on_gap = Resync.on_gap

    def blind(self: Resync, board: Switchboard, fact: Any) -> None:
        if not isinstance(fact, Moved):
            on_gap(self, board, fact)

    return mock.patch.object(Resync, "on_gap", blind)


def _does_not_hear_of_late_loans() -> Any:
    """What a former owner lent, and books when another has the switch, is in nobody's hands."""
    return mock.patch.object(Strays, "registered")


PLANTED: dict[str, Patch] = {
    "does_not_look_at_fences": _does_not_look_at_fences,
    "takes_over_and_forgets_the_calls": _takes_over_and_forgets_the_calls,
    "goes_on_without_a_lease": _goes_on_without_a_lease,
    "answers_as_a_standby": _answers_as_a_standby,
    "remembers_nothing": _remembers_nothing,
    "looks_too_seldom": _looks_too_seldom,
    "gives_away_and_keeps": _gives_away_and_keeps,
    "keeps_the_spares": _keeps_the_spares,
    "does_not_see_a_transfer": _does_not_see_a_transfer,
    "does_not_hear_of_late_loans": _does_not_hear_of_late_loans,
}
