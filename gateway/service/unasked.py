"""Legs on a switch's trunks that nobody asked for: found, judged, and ended or adopted. The rules: ``core/unasked.py``.

Most are judged at their DialBegin, and those that came in at their answer. Those of a time when nobody listened are
found in a whole listing of the switch, and looked at once more by themselves before anything is done: a listing is
older than what was heard since.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace

import structlog

from gateway.core.call import Call, Terms
from gateway.core.decide import Deny, Pass
from gateway.core.facts import Ask, ChannelStatus, LegAnswered, LegDialled
from gateway.core.reasons import CALL_REJECTED, Reason
from gateway.core.unasked import (
    TrunkRules,
    Unasked,
    adopted,
    ask_of,
    ask_of_incoming,
    judge,
    number_of,
    was_allowed,
    was_let_in,
    went_through_the_gate,
)
from gateway.ports import Happening, ListNotWhole, SwitchUnavailable
from gateway.service.chores import Chores
from gateway.service.directory import Directory
from gateway.service.ending import end_leg
from gateway.service.world import World

log = structlog.get_logger(__name__)

# A DialBegin may be held back for a moment until it is believed (adapters/ami/suspicion.py), and Status be sooner.
HELD_FACTS_SECONDS = 0.1
ASK_TRIES = 3
ASK_AGAIN_SECONDS = 0.25

_ONE_CONTEXT = 'let only the gated context dial this trunk, or set unasked = "adopt"'
_ASK_FIRST = 'let the context of this number ask (inbound) before it answers, or set unasked = "adopt"'

Decision = Deny | Pass | Terms


class UnaskedLegs:
    """Watches over the trunks of one switch.

    ``adopt`` makes a call of a leg; ``note_refusal`` keeps a refusal; ``is_known`` tells whose channels are known.
    """

    def __init__(
        self,
        rules: TrunkRules,
        world: World,
        directory: Directory,
        adopt: Callable[[Call], object],
        note_refusal: Callable[[Ask, Deny], None],
        is_known: Callable[[str], bool],
    ) -> None:
        self._rules = rules
        self._world = world
        self._directory = directory
        self._adopt = adopt
        self._note_refusal = note_refusal
        self._is_known = is_known
        self._judging: dict[str, int] = {}  # legs, and when each was answered: 0 while it rings
        self._judged: set[str] = set()  # legs that are rightly unmetered, or ended
        self._chores = Chores(world.watch)

    # ------------------------------------------------------------------------------------------------ what is told

    def dialled(self, leg: LegDialled) -> None:
        """A leg that no ask pays for."""
        if not self._rules.watch(leg.leg_name) or self._is_seen(leg.leg):
            return
        self._judging[leg.leg] = 0
        ask, decision = self._judge(leg, leg.at_ms)
        if leg.caller and not isinstance(decision, Pass):
            self._chores.spawn(self._act_unless_let_out(leg, ask, decision))
        else:
            self._act(leg, ask, decision)

    def answered(self, fact: LegAnswered) -> None:
        """A leg that no call has; it may be one that is being judged, or one that came in and did not ask."""
        if fact.leg in self._judging:
            self._judging[fact.leg] = self._judging[fact.leg] or fact.at_ms
        elif self._directory.owns_numbers and self._rules.watch(fact.name) and not self._is_seen(fact.leg):
            self._chores.spawn(self._came_in(fact))

    def ended(self, uniqueid: str) -> None:
        """A channel is gone."""
        self._judging.pop(uniqueid, None)
        self._judged.discard(uniqueid)

    async def find(self, listing: Mapping[str, ChannelStatus]) -> None:
        """Judge those that a whole listing has and nobody knows. Raises SwitchUnavailable."""
        self._judged.intersection_update(listing)
        strange = [status for status in listing.values() if self._is_strange(status)]
        if strange:
            await asyncio.sleep(HELD_FACTS_SECONDS)
        for old in strange:
            try:
                status = await self._world.switch.status(old.uniqueid)
                if status is not None and self._is_strange(status):
                    await self._found(status, listing)
            except ListNotWhole as error:
                log.warning("leg.unknown", leg=old.uniqueid, problem=str(error))

    def stop(self) -> None:
        """End what is under way; whoever has the switch next judges for itself."""
        self._chores.stop()
        self._judging.clear()
        self._judged.clear()

    # ---------------------------------------------------------------------------------------------------- judging

    def _is_seen(self, leg: str) -> bool:
        return leg in self._judging or leg in self._judged

    def _is_strange(self, status: ChannelStatus) -> bool:
        if not self._rules.watch(status.name):
            return False
        if status.is_inbound and not (status.is_up and self._directory.owner(status.dnid)):
            return False
        return not self._is_known(status.uniqueid) and not self._is_seen(status.uniqueid)

    def _judge(self, leg: LegDialled, at_ms: int) -> tuple[Ask, Decision]:
        """By its accountcode's owner, or by the one who pays for those that have none."""
        ask = ask_of(self._world.switch.name, leg, at_ms)
        tenant = self._directory.payer(ask)
        if tenant is None and self._rules.tenant:
            ask = replace(ask, tenant=self._rules.tenant)
            tenant = self._directory.payer(ask)
        return ask, judge(ask, tenant, self._directory.is_emergency)

    async def _found(self, status: ChannelStatus, listing: Mapping[str, ChannelStatus]) -> None:
        switch = self._world.switch
        if status.is_inbound:
            self._judge_incoming(status, status.answered_at_ms or switch.now_ms())
            return
        dial_string = await switch.dialled(status)
        if not dial_string or self._is_known(status.uniqueid) or self._is_seen(status.uniqueid):
            self._judged.add(status.uniqueid)  # it came in, or nobody can tell where it goes
            return
        now_ms = switch.now_ms()
        self._judging[status.uniqueid] = (status.answered_at_ms or now_ms) if status.is_up else 0
        leg = LegDialled("", status.uniqueid, status.name, dial_string, now_ms, status.linkedid, status.accountcode)
        family = [each for each in listing.values() if each.linkedid == status.linkedid]
        is_let_out = any(went_through_the_gate(each, number_of(dial_string)) for each in family)
        ask, decision = self._judge(leg, min(self._judging[status.uniqueid] or now_ms, now_ms))
        if isinstance(decision, Terms) and decision.tenant.failure.is_lenient:
            is_let_out = is_let_out or any(was_allowed(each, number_of(dial_string)) for each in family)
        self._act(leg, ask, Pass(ask.tenant, ask.number) if is_let_out else decision)

    async def _came_in(self, fact: LegAnswered) -> None:
        status = await self._status(fact.leg)
        if status is not None and self._is_strange(status):
            self._judge_incoming(status, fact.at_ms)

    def _judge_incoming(self, status: ChannelStatus, answered_at_ms: int) -> None:
        """By the owner of the number that it came in on."""
        if status.variables.get("CALLGATE_ASK"):
            return  # it waits for a verdict
        ask = ask_of_incoming(self._world.switch.name, status, answered_at_ms)
        decision = judge(ask, self._directory.payer(ask), self._directory.is_emergency)
        is_let_in = was_let_in(status)
        if isinstance(decision, Terms) and decision.tenant.failure.is_lenient:
            is_let_in = is_let_in or was_allowed(status, decision.dial_number)
        at = (status.dnid, answered_at_ms, status.linkedid)
        self._judging[status.uniqueid] = answered_at_ms
        leg = LegDialled("", status.uniqueid, status.name, *at)
        self._act(leg, ask, Pass("", ask.number) if is_let_in else decision)

    async def _act_unless_let_out(self, leg: LegDialled, ask: Ask, decision: Decision) -> None:
        caller = await self._status(leg.caller)
        is_let_out = caller is not None and went_through_the_gate(caller, ask.number)
        self._act(leg, ask, Pass(ask.tenant, ask.number) if is_let_out else decision)

    async def _status(self, uniqueid: str) -> ChannelStatus | None:
        """None where it is gone, or cannot be read: then nothing speaks for it."""
        for _ in range(ASK_TRIES):
            try:
                return await self._world.switch.status(uniqueid)
            except (SwitchUnavailable, ListNotWhole):
                await asyncio.sleep(ASK_AGAIN_SECONDS)
        return None

    # ----------------------------------------------------------------------------------------------------- acting

    def _act(self, leg: LegDialled, ask: Ask, decision: Decision) -> None:
        answered_at_ms = self._judging.pop(leg.leg, None)
        if answered_at_ms is None:  # it ended meanwhile
            return
        if isinstance(decision, Pass):
            self._count("let_out")
            self._judged.add(leg.leg)
        elif isinstance(decision, Terms) and self._rules.unasked is Unasked.ADOPT:
            log.warning("leg.adopted", call=decision.call_id, leg=leg.leg, channel=leg.leg_name, number=ask.number)
            self._count("adopted")
            self._world.watch.fault("leg_adopted")
            self._adopt(adopted(decision, leg, answered_at_ms, self._world.switch.now_ms()))
        else:
            owner = decision.tenant.tenant_id if isinstance(decision, Terms) else ""
            self._end(leg, ask, decision if isinstance(decision, Deny) else Deny(Reason.UNASKED, owner))

    def _end(self, leg: LegDialled, ask: Ask, denied: Deny) -> None:
        self._judged.add(leg.leg)
        self._count("ended")
        self._world.watch.fault("leg_unasked")
        log.warning(
            "leg.unasked",
            call=ask.call_id,
            leg=leg.leg,
            channel=leg.leg_name,
            number=ask.number,
            tenant=denied.tenant,
            reason=denied.reason,
            remedy=_ASK_FIRST if ask.is_inbound else _ONE_CONTEXT,
        )
        self._note_refusal(ask, denied)
        self._chores.spawn(end_leg(self._world.switch, self._world.tenure, leg.leg, CALL_REJECTED, ask.call_id))

    def _count(self, outcome: str) -> None:
        self._world.watch.happened(Happening.UNASKED, self._world.switch.name, outcome)
