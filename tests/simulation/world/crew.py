"""What must be true of several gateways on the same PBXs: rules 11 to 14 of ``judge.py``, and how they are seen."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from gateway.ports import OwnersKey

from .net import World
from .pbx import Asked, Pbx, Talk
from .plan import Plan
from .vault import Kept, Vault

if TYPE_CHECKING:
    from .host import Host
    from .link import SwitchLink

HEALED_SECONDS: Final = 8.0
# Of a takeover, beyond the lease: the wait of who is second choice, and the way to the ledger and back.
BEGUN_SECONDS: Final = 1.0
TAKEN_SECONDS: Final = 0.35
ASKED_AGAIN_SECONDS: Final = 1.4  # beyond the lease: taken, taken back, extended and armed
PROMISED_MS: Final = 600  # with this lease an ask is answered by whoever takes over
END_HEARD_SECONDS: Final = 2.0
# One of these at a time leaves another gateway that can go on; what is planned harms nobody.
BLOWS: Final = frozenset({"gone", "pause", "pause_on"})
HARMLESS: Final = frozenset(
    {"start", "restart", "drain", "kill", "kill_on", "kill_at_await"}
)  # these are told by "gone"
SHAKES: Final = frozenset({"ledger_clock", "ledger_failover"})  # leases are lost, or last no longer than they seem to


class Crew:
    """Looks on who owns what, and who acts. ``fail`` takes a rule, and what is wrong."""

    def __init__(
        self, world: World, plan: Plan, vault: Vault, pbxs: Sequence[Pbx], hosts: Sequence["Host"],
        fail: Callable[[int, str], None],
    ) -> None:  # fmt: skip
        self._world, self._plan, self._pbxs, self._hosts, self._fail = world, plan, pbxs, hosts, fail
        self._highest: dict[str, int] = {}  # fence under which a PBX, or a call's books, were acted upon
        self._is_shaken = any(fault.kind in SHAKES for fault in plan.faults)
        vault.after_owners_step = self.stepped
        for pbx in pbxs:
            pbx.on_act = self.acted
            pbx.on_silence = self.unheard
        for host in hosts:
            host.on_gone = self.owner_gone

    # ------------------------------------------------------------------------------------------------ what is broken

    def only_one_was_down(self, since: float, latest: float | None = None) -> bool:
        """Nothing was broken since then but one gateway, and that not later than ``latest`` (true seconds)."""
        if self._plan.gateways == 1:
            return False
        harms = [harm for harm in self._world.harms_since(since - HEALED_SECONDS) if harm.what not in HARMLESS]
        is_late = any(latest is not None and harm.begun > latest for harm in harms)
        return len(harms) <= 1 and not is_late and all(harm.what in BLOWS for harm in harms)

    # -------------------------------------------------------------------------------------------------- as it goes

    def stepped(self, step: str, key: OwnersKey) -> None:
        """Rule 11, of the books."""
        self._raise(key.call_id, key.fence, f"{step} of {key.call_id} was booked")

    def acted(self, link: "SwitchLink", what: str) -> None:
        """Rule 11, of a PBX."""
        tenure, certainty = link.tenure, link.certainty
        if not tenure.is_held:
            self._fail(11, f"{link.process.name} sends {what} to {link.name}, and does not own it")
        if certainty.is_ledger_silent:
            return  # it goes on, and ends what the PBX shows nobody's word for: no paid leg, says rule 7
        self._raise(link.name, tenure.fence, f"{link.process.name} sends {what} to {link.name}")

    def _raise(self, of: str, fence: int, what: str) -> None:
        highest = self._highest.get(of, 0)
        if fence < highest and not self._is_shaken:
            self._fail(11, f"{what} under fence {fence}, after {highest}")
        self._highest[of] = max(fence, highest)

    def owner_gone(self, host: "Host", switches: Sequence[str]) -> None:
        """Rule 12: look again when another should have them."""
        now = self._world.loop.seconds
        if switches and self._plan.gateways > 1 and not self._harms_beside(host, now - HEALED_SECONDS):
            due = now + self._plan.lease_ms / 1000 + TAKEN_SECONDS
            self._world.at(due, self._is_taken, host, tuple(switches), now)

    def _harms_beside(self, host: "Host", since: float) -> bool:
        """Anything but this gateway has suffered."""
        now = self._world.loop.seconds
        others = [other for other in self._hosts if other is not host]
        # Who has just begun has to hear first who else there is.
        is_other_down = any(not other.is_running or other.began_at > now - BEGUN_SECONDS for other in others)
        return is_other_down or any(harm.what not in HARMLESS for harm in self._world.harms_since(since))

    def _is_taken(self, host: "Host", switches: Sequence[str], since: float) -> None:
        if len(self._world.harms_since(since)) > 1:  # its own end, and something else
            return
        for switch in switches:
            if not any(switch in other.owned for other in self._hosts if other is not host):
                self._fail(12, f"{host.name} is dead since {since:.3f}, and nobody has taken {switch}")

    def unheard(self, asked: Asked) -> None:
        """Rule 13, of an ask."""
        if self._plan.lease_ms <= PROMISED_MS and not asked.clock_was_set and self.only_one_was_down(asked.asked_at):
            self._fail(13, f"{asked.call_id} heard nothing, and another gateway was there")

    def is_to_be_extended(self) -> bool:
        """Rule 13, of a leg that is cut now: another gateway has had the time to extend it."""
        now = self._world.loop.seconds
        return self.only_one_was_down(now, latest=now - self._plan.lease_ms / 1000 - ASKED_AGAIN_SECONDS)

    # -------------------------------------------------------------------------------------------------- at the end

    def judge_bill(self, talk: Talk, kept: Kept | None) -> None:
        """Rule 13, of a leg's bill."""
        if not talk.is_gated or not self._was_one_down_during(talk):
            return
        if kept is None or not kept.closings:
            self._fail(13, f"{talk.call_id} was talked {talk.seconds:.3f} s and not billed, and a gateway heard it")
        elif kept.closings[-1][0]:
            self._fail(13, f"{talk.call_id} is estimated, and a gateway heard its end after {talk.told_ms} ms")

    def _was_one_down_during(self, talk: Talk) -> bool:
        """And it was not back before another could take its place: that one may have heard the end, and it has not."""
        since, until = talk.began_at - HEALED_SECONDS, talk.ended_at + END_HEARD_SECONDS
        harms = [harm for harm in self._world.harms_since(since) if harm.begun < until]
        blows = [harm for harm in harms if harm.what not in HARMLESS]
        if self._plan.gateways == 1 or len(blows) > 1 or any(harm.what not in BLOWS for harm in blows):
            return False
        soon = self._plan.lease_ms / 1000 + TAKEN_SECONDS
        starts = [harm.begun for harm in harms if harm.what == "start"]
        return not any(blow.begun < start < blow.begun + soon for blow in blows for start in starts)

    def unspread(self) -> str:
        """Rule 14: what is not as it should be in the end; empty: nothing."""
        if self._plan.gateways == 1:
            return ""
        for pbx in self._pbxs:
            owners = [host.name for host in self._hosts if pbx.name in host.owned]
            if len(owners) != 1:
                return f"{pbx.name} is owned by {owners}"
        counts = [len(host.owned) for host in self._hosts]
        return f"switches are spread as {counts}" if max(counts) - min(counts) > 1 else ""
