"""What must be true of every seed, each said once.

1. The books hold after every step of the ledger: the journal re-adds to the account, entry by entry, and nothing is
   held or owed that may not be.
2. No leg is Up beyond what the ledger holds or has charged for it, or what it was lent, plus one second. A PBX keeps
   its caps by its own clock: where that is set back in mid-call, the leg may last so much longer. Where the cap is lost
   in a transfer or with a Local channel, that holds if nothing is broken then: somebody must be there to set it again.
3. Each ask hears one verdict: none other follows from whoever while it waits, none comes later than its deadline.
4. Who was not answered pays nothing. Who was answered pays once, the price of the seconds billed.
5. Billed are the seconds of the leg as the PBX's clock tells them, within one; of a leg that the PBX cut at its cap,
   not one beyond the cap. An estimate, of an end that nobody saw, is no less than what was talked, and no more than
   the grant. A PBX that fell silent and began anew: up to when it fell silent. An end that a gateway has heard, and
   outlived by some seconds, is billed as heard, whatever becomes of gateway and ledger.
6. Talked for nothing is only what nobody can know: a call whose answer never reached the ledger, and whose gateway did
   not live to settle it; at most its first grant. (The PBX's own records tell: ``callgate reconcile``.) And what the
   dialplan let go on by itself: it has a cap of its own, and is billed only where the gateway had allowed it after all.
   And what a fail-over of the ledger lost of the last moments, where no gateway goes on with it; and a leg whose dial
   was not heard, or was hidden by a forger, while the lists that would tell of it cannot be read. And what a former
   owner heard, cut off from the ledger, whose heir did not hear it and has let go of the call before: the settle, of
   the seconds talked, is set aside for a person.
7. No paid second is withheld: the gateway ends no paid leg (its cap does), and where nothing is broken, no cap cuts a
   leg for which more was granted before, or whose tenant had enough for a quantum of each call. But a clock of the PBX
   that is set between ask and end may cost the call as much.
8. Once nothing breaks any more, all settles: no call is open in any book, nothing is held, no settle waits, no session
   or task of a call is left.
9. Nothing is raised that nobody expected.
10. To the calls of a tenant no more is lent at any instant than its failure policy states: what PBXs were told that its
    calls may talk, beyond what the ledger holds or has charged for them, in money and in seconds. What was lent and
    talked is booked when the ledger is back, also where the gateway that lent it was killed: but for a call of whose
    answer it did not hear a moment before.
11. Nobody acts for who has a switch now: nothing is sent to a PBX, and nothing that an owner decides on is booked,
    under a lower fence than something before it. Where Redis is silent to a gateway it goes on, but ends no leg for
    which the PBX shows another's word (rule 7). A ledger whose clock is set, or that lost its last writes, has no such
    order.
12. A switch whose owner dies, while nothing else is broken and nobody has begun within the last second, is another's
    within a lease and 350 ms.
13. Where one gateway is killed, stopped, drained or paused, and nothing else is broken, nobody notices: no ask is left
    without a verdict, no leg without its extension, and each is billed to the second.
14. In the end each switch has one owner, and no gateway has two more than another.
15. What a Dial to several trunks holds for its further legs is free three seconds after it is over. A further leg that
    was Up as well is charged once, for its seconds.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from math import ceil
from typing import TYPE_CHECKING, Any, Final

from gateway.core.tenant import Tenant
from gateway.core.verdict import wants_ledger
from gateway.ports import CallKey
from rating import charge_with_included

from .crew import Crew
from .net import Harm, World
from .pbx import Asked, Pbx, Talk
from .plan import BLOCKS, MICROS_A_SECOND, Plan
from .vault import Kept, Shelf, Vault

if TYPE_CHECKING:
    from .host import Host

LONGEST_BLOCK_SECONDS: Final = max(max(block) for block in BLOCKS)
LONGEST_RING_SECONDS: Final = 65.0
GRACE_MS: Final = 1_000
DEADLINE_SECONDS: Final = 2.0
CLOCK_ERROR_SECONDS: Final = 0.05
CALM_SECONDS: Final = 8.0
FREED_SECONDS: Final = 3.0
RICH_SECONDS: Final = 1.5  # a call whose tenant has no credit asks for the last time 600 ms before its cut
KEPT_AFTER_SECONDS: Final = 3.5  # a step that waits before it times out, is tried again, and the disk is written
ON_DISK_AFTER_SECONDS: Final = 0.05
NEVER: Final = ("errand", "ledger_step", "unsettled", "reap", "ownership")


class Judge:
    """Looks on, and keeps the first thing that is wrong."""

    def __init__(self, world: World, plan: Plan, vault: Vault, pbxs: Sequence[Pbx], hosts: Sequence["Host"]) -> None:
        self.failure = ""
        self._world, self._plan, self._vault, self._pbxs, self._hosts = world, plan, vault, pbxs, hosts
        self._has_spoilt_lists = any(
            fault.kind == "spoilt" or (fault.kind == "link_reset" and fault.size > 0) for fault in plan.faults
        )
        self._has_lost_writes = any(fault.kind == "ledger_failover" for fault in plan.faults)
        self._rich_since: dict[str, float] = {}  # true seconds
        self._tenants = {tenant.tenant_id: tenant for tenant in plan.tenants}
        self.crew = Crew(world, plan, vault, pbxs, hosts, self.fail)
        vault.after_step = self.after_step
        for pbx in pbxs:
            pbx.on_over = self.talk_over
            pbx.on_verdict = self.verdict_sent
            pbx.on_promise = self.promised

    def fail(self, rule: int, why: str) -> None:
        """Something is wrong; the first is what counts."""
        if not self.failure:
            self.failure = f"{rule}: {why}"
            self._world.note("WRONG", self.failure)
            self._world.loop.stop()

    def is_calm(self) -> bool:
        """Nothing is broken, and what was has had time to heal."""
        is_healed = self._world.broken_until + CALM_SECONDS < self._world.loop.seconds
        return is_healed and all(host.is_running for host in self._hosts)

    # -------------------------------------------------------------------------------------------------- as it goes

    def after_step(self, tenant: str, step: str) -> None:
        """Rule 1."""
        shelf = self._vault.shelves.get(tenant)
        if shelf is None or self.failure:
            return
        audit = shelf.audit
        try:
            shelf.model.check()
            for entry in shelf.model.journal:
                note = entry.pop("note")
                audit.add(entry | {"at_ms": "1", "note": note})
            audit.check_charges()
            assert shelf.model.held == audit.sums["held"] == sum(call.held for call in shelf.model.live.values())
            assert shelf.model.charges == audit.sums["revenue"]
        except AssertionError as error:
            self.fail(1, f"{tenant}: after {step} the books do not hold: {error}")
        shelf.model.journal.clear()
        self._note_credit(tenant, shelf)

    def _note_credit(self, tenant: str, shelf: Shelf) -> None:
        """Since when there is a quantum for each call, and one more."""
        seconds = self._tenants[tenant].quantum_seconds + LONGEST_BLOCK_SECONDS
        if shelf.model.available < (len(shelf.model.live) + 1) * seconds * MICROS_A_SECOND:
            self._rich_since.pop(tenant, None)
        else:
            self._rich_since.setdefault(tenant, self._world.loop.seconds)

    def verdict_sent(self, pbx: Pbx, verdict: str) -> None:
        """Rule 3, as it is written."""
        asked = next((one for one in reversed(pbx.asked) if one.nonce == verdict.partition(":")[0]), None)
        if asked is None:
            return
        now = self._world.loop.seconds
        limit = max(asked.asked_at, asked.listed_at) + DEADLINE_SECONDS + CLOCK_ERROR_SECONDS
        if now > limit and not asked.clock_was_set:
            self.fail(3, f"a verdict for {asked.call_id} was written {now - asked.asked_at:.3f} s after the ask")
        # Who is cut off from the ledger may lend what another has reserved: the PBX takes the first.
        may_lend = self._plan.gateways > 1 and self._tenants[asked.tenant].failure.is_lenient
        is_other = bool(asked.sent) and asked.sent[-1] != verdict and not may_lend and not wants_ledger(asked.sent[-1])
        if asked.outcome == "waits" and is_other:
            self.fail(3, f"{asked.call_id} is told {verdict} after {asked.sent[-1]}")
        asked.sent.append(verdict)

    def promised(self, tenant: str) -> None:
        """Rule 10, whenever a PBX was told how long a call of the tenant may last."""
        rule = self._tenants[tenant].failure
        if not rule.is_lenient or self._has_lost_writes or any(pbx.sets for pbx in self._pbxs):
            return
        micros = seconds = 0
        for pbx in self._pbxs:
            for call_id, told_seconds in pbx.promises(tenant):
                more_seconds, more_micros = self._beyond_the_books(tenant, call_id, told_seconds)
                seconds, micros = seconds + more_seconds, micros + more_micros
        gateways = self._plan.gateways
        if rule.most_micros is not None and micros > rule.most_micros * gateways:
            self.fail(10, f"{tenant} has {micros} on exposure, of {rule.most_micros}, {gateways} times")
        if rule.most_seconds is not None and seconds > rule.most_seconds * gateways:
            self.fail(10, f"{tenant} has {seconds} s on exposure, of {rule.most_seconds}, {gateways} times")

    def _beyond_the_books(self, tenant: str, call_id: str, seconds: int) -> tuple[int, int]:
        call = self._vault.shelves[tenant].model.calls.get(call_id)
        included, booked, granted = (call.included, call.charged + call.held, call.granted) if call else (0, 0, 0)
        cost, _ = charge_with_included(_schedule(self._tenants[tenant]), seconds, included)
        return max(0, seconds - granted), max(0, cost - booked)

    def talk_over(self, talk: Talk) -> None:
        """Rules 2 and 7, when a leg ends."""
        if not talk.is_gated:
            return
        kept = self._kept(talk)
        was_lent = talk.call_id in self._vault.lent
        if kept is None and not self._has_lost_writes and not was_lent:
            self.fail(2, f"{talk.call_id} was talked, and the ledger holds nothing for it")
        granted, granted_at = self._vault.promised(talk.call_id)
        most_ms = granted * 1000 + GRACE_MS
        if talk.seconds * 1000 > most_ms + talk.clock_back_ms and not self._could_not_be_capped(talk):
            self.fail(2, f"{talk.call_id} lasted {talk.seconds:.3f} s, and was granted {granted} s")
        if kept is not None:
            self._judge_withheld(talk, granted, granted_at)

        self._world.after(FREED_SECONDS, self._judge_spares, talk, self._world.broken_until)

    def _could_not_be_capped(self, talk: Talk) -> bool:
        """Its cap is lost, and something was broken since shortly before: nobody may have been there to set it."""
        return talk.bare_at > 0 and self._world.broken_until + CALM_SECONDS > talk.bare_at

    def _judge_spares(self, talk: Talk, broken_until: float) -> None:
        """Rule 15."""
        was_calm = broken_until + CALM_SECONDS < talk.began_at and broken_until == self._world.broken_until
        shelf = self._vault.shelves.get(talk.tenant)
        spares = [name for name in shelf.model.live if name.startswith(f"{talk.call_id}.")] if shelf else []
        if spares and was_calm:
            self.fail(15, f"{talk.call_id} is over, and {spares} still hold something")

    def _judge_withheld(self, talk: Talk, granted: int, granted_at: float) -> None:
        pbx = next(pbx for pbx in self._pbxs if talk in pbx.talks)
        was_set = any(at > talk.began_at - LONGEST_RING_SECONDS for at, _ in pbx.sets)
        is_over = talk.bare_at > 0 and talk.seconds >= granted  # its cap was lost, and nobody could set it: rule 2
        if talk.how == "kicked" and not is_over and not any(fault.kind == "pbx_clock" for fault in self._plan.faults):
            self.fail(7, f"{talk.call_id} was ended by the gateway after {talk.seconds:.3f} of {granted} s")
        if talk.how != "cut" or was_set or not (self.is_calm() or self.crew.is_to_be_extended()):
            return
        kept = self._kept(talk)
        if talk.was_moved and kept is not None and not kept.answered_at_ms:
            return
        if self._rich_since.get(talk.tenant, self._world.loop.seconds) < self._world.loop.seconds - RICH_SECONDS:
            self.fail(7, f"{talk.call_id} was cut after {talk.seconds:.3f} s, and there is credit for more")
        cut_ms = talk.cap_ms - talk.began_ms
        if granted * 1000 > cut_ms + GRACE_MS and self._world.loop.seconds - granted_at > 1.0:
            self.fail(7, f"{talk.call_id} was cut after {cut_ms} ms, and was granted {granted} s")

    def _kept(self, talk: Talk | Asked) -> Kept | None:
        shelf = self._vault.shelves.get(talk.tenant)
        return shelf.kept.get(talk.call_id) if shelf else None

    # -------------------------------------------------------------------------------------------------- at the end

    def unsettled(self) -> str:
        """Rule 8: what is still open, in words; empty: nothing."""
        for tenant, shelf in self._vault.shelves.items():
            if shelf.model.live or shelf.model.held:
                return f"{tenant} holds {shelf.model.held} for {', '.join(shelf.model.live)}"
        for host in self._hosts:
            if host.process is None or host.process.is_dead:
                return f"{host.name} is not running"
            if host.disk.pending or host.disk.lent:
                return f"{host.name} keeps {len(host.disk.pending)} settles, {len(host.disk.lent)} calls as lent"
            if host.exposures is not None and (left := [tenant for tenant, _ in host.exposures]):
                return f"{host.name} has exposure left: {left}"
            for board in host.boards.values():
                if len(board):
                    return f"{host.name} has {len(board)} sessions on {board.world.switch.name}"
        return self.crew.unspread()

    def judge_end(self) -> None:
        """All that is judged when all is over."""
        for host in self._hosts:
            for fault in [fault for fault in NEVER if host.tally.faults[fault]]:
                self.fail(9, f"{host.name} counted a fault: {fault}")
            for given_up in [entry.key for entry in host.disk.aside if not self._is_anothers(entry.key)]:
                self.fail(8, f"the settle of {given_up.call_id} was given up")
        self._judge_tasks()
        self._judge_further()
        talks = {talk.call_id: talk for pbx in self._pbxs for talk in pbx.talks}
        for tenant, shelf in self._vault.shelves.items():
            self._judge_charges(tenant, shelf, talks)
        for pbx in self._pbxs:
            for talk in pbx.talks:
                kept = self._kept(talk)
                self.crew.judge_bill(talk, kept)
                if kept is None and talk.is_gated and not self._has_lost_writes:
                    self.fail(10, f"{talk.call_id} was lent {self._vault.lent.get(talk.call_id)} s, and never booked")
                if kept is not None and (talk.is_gated or kept.closings):
                    begin = talk.began_at - LONGEST_RING_SECONDS
                    set_ms = sum(abs(by_ms) for at, by_ms in pbx.sets if at > begin)
                    self._judge_bill(talk, kept, set_ms)

    def _judge_further(self) -> None:
        """Rule 15, of legs that were Up as well."""
        for pbx in self._pbxs:
            for talk in pbx.further:
                calls = self._vault.shelves[talk.tenant].model.calls.items()
                paying = [name for name, call in calls if name.startswith(f"{talk.call_id}.") and call.leg == talk.leg]
                was_calm = not [harm for harm in self._world.harms if _is_near(harm, talk.began_at)]
                if was_calm and talk.is_gated and len(paying) != 1:
                    self.fail(15, f"the further leg {talk.leg} of {talk.call_id} is paid by {paying}")

    def _judge_tasks(self) -> None:
        """Rule 8, of what is seen only when all is over."""
        for task, process in self._world.loop.tasks:
            name = getattr(task.get_coro(), "__qualname__", "")
            is_alive = process is not None and not process.is_dead
            if name.startswith(("Session.", "LegErrands.")) and not task.done() and is_alive:
                self.fail(8, f"a task is left: {name}")

    def _judge_charges(self, tenant: str, shelf: Shelf, talks: dict[str, Talk]) -> None:
        """Rule 4."""
        audit = shelf.audit
        self._judge_answered(shelf, talks)
        total = shelf.model.charges - shelf.model.adjustments
        if total != sum(audit.charges.values()):
            self.fail(4, f"{tenant} was charged {total}, its calls {sum(audit.charges.values())}")
        for name, talk in talks.items():
            kept = shelf.kept.get(name)
            if talk.tenant == tenant and kept is not None and kept.closings:
                charged, included = audit.charges[name], shelf.model.calls[name].included
                due = charge_with_included(_schedule(self._tenants[tenant]), kept.seconds, included)
                if (charged, included) != due:
                    self.fail(4, f"{name} was charged {charged} for {kept.seconds} s, which cost {due[0]}")

    def _judge_answered(self, shelf: Shelf, talks: dict[str, Talk]) -> None:
        """Rule 4: who is charged was answered, and no leg is paid for twice."""
        charges = {name: charged for name, charged in shelf.audit.charges.items() if charged}
        further: dict[str, set[str]] = defaultdict(set)  # legs that were Up as well, by their call
        for pbx in self._pbxs:
            for talk in pbx.further:
                further[talk.call_id].add(talk.leg)
        for name, charged in charges.items():
            if name not in talks and not self._is_of(further, shelf, name):
                self.fail(4, f"{name} was charged {charged}, and nobody answered it")
        spares = Counter(name.rpartition(".")[0] for name in charges)
        for call_id, legs in further.items():
            if spares[call_id] > len(legs):
                self.fail(4, f"{spares[call_id]} spares of {call_id} were charged for {len(legs)} further legs")

    @staticmethod
    def _is_of(further: Mapping[str, set[str]], shelf: Shelf, name: str) -> bool:
        """A spare pays for one of these legs. Of one that was released before its settle came, the books have none."""
        legs, is_spare = further.get(name.rpartition(".")[0], set()), "." in name.rpartition("/")[2]
        leg = shelf.model.calls[name].leg if is_spare else ""
        return is_spare and bool(legs) and (leg in legs or not leg)

    def _judge_bill(self, talk: Talk, kept: Kept, set_ms: int) -> None:
        """Rules 5 and 6. ``set_ms``: by how much the PBX's clock was set since about the ask."""
        if not kept.closings:
            self._judge_unbilled(talk, kept)
            return
        is_estimate, _, billed = kept.closings[-1]
        least_ms = min(talk.told_ms, talk.silent_ms - talk.began_ms) if talk.silent_ms else talk.told_ms
        if talk.bare_at:  # without a cap it may have lasted beyond all that was granted
            least_ms = min(least_ms, self._vault.promised(talk.call_id)[0] * 1000)
        if billed * 1000 < least_ms - GRACE_MS - set_ms:
            self.fail(5, f"{talk.call_id} was talked {least_ms} ms and billed {billed} s")
        if not is_estimate:
            if not set_ms and billed > _most_seconds(talk):
                self.fail(5, f"{talk.call_id} was {talk.how} after {talk.told_ms} ms and billed {billed} s")
        elif billed > self._vault.promised(talk.call_id)[0]:
            granted = self._vault.promised(talk.call_id)[0]
            self.fail(5, f"{talk.call_id} is estimated at {billed} s, and was granted {granted} s")
        elif self._was_known(talk):
            self.fail(5, f"{talk.call_id} is estimated at {billed} s; its end was heard after {talk.told_ms} ms")

    def _judge_unbilled(self, talk: Talk, kept: Kept) -> None:
        """Rules 6 and 10."""
        is_unknown = talk.was_moved and not kept.answered_at_ms
        if talk.call_id in self._vault.lent and self._answer_was_kept(talk) and not is_unknown:
            self.fail(10, f"{talk.call_id} was lent, talked {talk.seconds:.3f} s and not billed; its answer was heard")
        if self._has_lost_writes or is_unknown or (self._has_spoilt_lists and not kept.answered_at_ms):
            return
        if self._was_known(talk):
            self.fail(6, f"{talk.call_id} was talked {talk.seconds:.3f} s and not billed; its end was heard")
        if kept.answered_at_ms or any(not process.is_dead for process in talk.known_by):
            self.fail(6, f"{talk.call_id} was talked {talk.seconds:.3f} s and not billed; its answer was known")

    def _is_anothers(self, key: CallKey) -> bool:
        """Another gateway has settled it; or let go of a fork's further leg, and could not know better."""
        has_settled = bool(self._vault.shelves[key.tenant].kept[key.call_id].closings)
        return self._plan.gateways > 1 and (has_settled or "." in key.call_id.rpartition("/")[2])

    def _answer_was_kept(self, talk: Talk) -> bool:
        """A gateway heard the answer of a call that it had lent to, and lived long enough to have it on disk."""
        if talk.answer_heard is None or any(fault.kind == "disk" for fault in self._plan.faults):
            return False
        process, heard_at = talk.answer_heard
        return not process.is_dead or process.died_at - heard_at > ON_DISK_AFTER_SECONDS

    def _was_known(self, talk: Talk) -> bool:
        """A gateway has heard its end, and lived long enough to have it on disk."""
        if talk.end_heard is None or talk.was_looked_for or self._has_lost_writes:
            return False
        process, heard_at = talk.end_heard
        if any(fault.kind in {"pause", "disk"} for fault in self._plan.faults):
            return False
        return not process.is_dead or process.died_at - heard_at > KEPT_AFTER_SECONDS


def _is_near(harm: Harm, seconds: float) -> bool:
    """It was broken at the answer of that time, or may have been since its ask."""
    return harm.begun - CALM_SECONDS < seconds < harm.until + CALM_SECONDS + LONGEST_RING_SECONDS


def _most_seconds(talk: Talk) -> int:
    """What may be billed of a leg whose end was heard."""
    if talk.how == "cut" and talk.is_gated:  # of another cap nobody told the gateway
        return max(1, ceil((talk.cap_ms - talk.began_ms) / 1000 - CLOCK_ERROR_SECONDS))
    return max(1, ceil(talk.told_ms / 1000))


def _schedule(tenant: Tenant) -> Any:
    return tenant.tariffs.price("+442079460000", 1, 2).schedule(1)  # type: ignore[union-attr]
