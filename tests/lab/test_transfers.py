"""The leg that costs money is followed to its end on the real Asterisk, whatever callers do with it.

Each scene is played twice: with credit to spare, where the charged seconds are the carrier's (SIPp's) within 1 s; and
on short credit, where the PBX ends the leg on its last paid second all the same. The phones are ``Softphone``; park,
pickup of a known channel and redirect are driven by the manager.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.lab.ami_probe import one
from tests.lab.asterisk import Asterisk
from tests.lab.conftest import MakeCarrier
from tests.lab.gateway import Books, GatewayProcess, tenant_toml
from tests.lab.process import wait_for
from tests.lab.sipp import Carrier, SipCall
from tests.lab.softphone import Dialog, Softphone

pytestmark = pytest.mark.lab

LONDON, LEEDS = "011442079460000", "011441134960000"  # 1/1 at 0.10 a second
DESK = "3000"
WITHIN_SECONDS = 1.0
LATEST_CUT_SECONDS = 0.3
SHORT_SECONDS = 7  # beyond the first quantum of 4: the cap was moved once
MODULES = ("res_pjsip_refer", "res_parking", "app_directed_pickup", "app_channelredirect", "bridge_holding")


@pytest.fixture(scope="module")
def running_asterisk(lab_root: Path) -> Iterator[Asterisk]:
    """One whose callers may transfer, park and pick up."""
    with Asterisk(lab_root, extra_modules=MODULES) as asterisk:
        yield asterisk


@dataclass
class Stage:
    """What a scene plays on: a carrier, a gateway, and the phones that it makes."""

    asterisk: Asterisk
    far: Carrier
    gate: GatewayProcess
    stack: ExitStack
    phones: dict[str, Softphone] = field(default_factory=dict)

    def phone(self, name: str = "mobile", *, forward_to: str = "", ring_only: bool = False) -> Softphone:
        """The mobile dials; the desk can be called as well."""
        if name not in self.phones:
            port = self.asterisk.desk_port if name == "desk" else 0
            made = Softphone(self.asterisk, name, port, forward_to=forward_to, ring_only=ring_only)
            self.phones[name] = self.stack.enter_context(made)
        return self.phones[name]

    def talk(self, number: str = LONDON) -> Dialog:
        """The mobile talks with somebody."""
        call = self.phone().dial(number).wait_answered()
        time.sleep(0.5)
        return call

    def channel(self, part: str) -> str:
        """The name of the one channel of an endpoint."""
        return one(name for name in self.asterisk.channels() if f"/{part}-" in name)

    def act(self, name: str, **headers: str) -> None:
        """A manager's action, which must succeed."""
        reply = self.asterisk.probe.action(name, **headers)
        assert reply["Response"] == "Success", reply


@pytest.fixture
def stage(asterisk: Asterisk, carrier: MakeCarrier, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Stage]:
    """A stage with two tenants; the mobile is acme's, the desk globex's. Its parameter: the audit's seconds."""
    books = Books(tmp_path / "books").start()
    tenants = {"acme": tenant_toml("acme"), "globex": tenant_toml("globex")}
    more = f'trunks = ["PJSIP/trunk*"]\naudit_seconds = {getattr(request, "param", 600)}\n'
    gate = GatewayProcess(tmp_path, asterisk, books.url, tenants, more=more).start()
    with ExitStack() as stack:
        yield Stage(asterisk, carrier(ring_ms=100), gate, stack)
        asterisk.probe.action("Hangup", Channel="/.*/")
        asterisk.wait_idle()
    gate.stop()
    books.close()


# -- the scenes: each leaves one metered leg talking, with somebody else than at first


def local(stage: Stage) -> None:
    """Dial(Local/…): it optimizes itself away."""
    stage.talk("81" + LONDON)
    assert [name for name in stage.asterisk.channels() if name.startswith("Local/")] == []


def local_that_stays(stage: Stage) -> None:
    """Dial(Local/…/n)."""
    stage.talk("82" + LONDON)
    assert len([name for name in stage.asterisk.channels() if name.startswith("Local/")]) == 2


def local_with_the_ask_before(stage: Stage) -> None:
    """The ask on the caller, the trunk behind a Local channel: L() sits on the Local channel, and is lost with it."""
    stage.talk("84" + LONDON)


def blind_by_refer(stage: Stage) -> None:
    """REFER: the mobile sends the leg to the desk."""
    stage.phone("desk")
    stage.talk().refer(DESK)
    stage.phone("desk").wait_rung()


def blind_by_digits(stage: Stage) -> None:
    """The feature code."""
    stage.phone("desk")
    call = stage.talk()
    call.press("#1")
    time.sleep(0.4)
    call.press(DESK)
    stage.phone("desk").wait_rung(timeout_seconds=8)


def attended_by_refer(stage: Stage) -> None:
    """REFER with Replaces: the mobile talks with the desk first."""
    stage.phone("desk")
    call = stage.talk()
    call.refer_to(stage.talk(DESK))


def attended_by_digits(stage: Stage) -> None:
    """The feature code, and the mobile hangs up."""
    stage.phone("desk")
    call = stage.talk()
    call.press("*2")
    time.sleep(0.4)
    call.press(DESK)
    stage.phone("desk").wait_rung(timeout_seconds=8)
    time.sleep(0.5)
    call.hang_up()


def blind_out(stage: Stage) -> None:
    """The mobile sends the desk, to which it talks, out to the trunk."""
    stage.phone("desk")
    stage.talk(DESK).refer(LONDON)


def attended_out(stage: Stage) -> None:
    """Atxfer: the consultation is the leg, made by a Local channel that optimizes itself away when the mobile goes."""
    stage.phone("desk")
    call = stage.talk(DESK)
    stage.act("Atxfer", Channel=stage.channel("mobile"), Exten=LONDON, Context="transfers")
    wait_for(lambda: stage.far.calls and stage.far.calls[0].answered_at, 8, "an answer")
    time.sleep(0.3)
    call.hang_up()


def forward_by_302(stage: Stage) -> None:
    """The desk answers with a 302 to London."""
    stage.phone("desk", forward_to=LONDON)
    stage.talk(DESK)


def replaced(stage: Stage) -> None:
    """INVITE with Replaces: the desk takes the mobile's place."""
    call = stage.talk()
    found = dict(part.split("=", 1) for part in call.replaces.split(";")[1:])
    header = f"Replaces: {call.call_id};to-tag={found['to-tag']};from-tag={found['from-tag']}"
    stage.phone("desk").dial(DESK, header).wait_answered()
    call.wait_over()


def parked(stage: Stage) -> None:
    """Parked by the manager, and taken by the desk."""
    stage.talk()
    stage.act("Park", Channel=stage.channel("trunk"), TimeoutChannel=stage.channel("mobile"), Timeout="60000")
    time.sleep(0.5)
    stage.phone("desk").dial("701").wait_answered()


def picked_up(stage: Stage) -> None:
    """The leg is sent to a desk that only rings; the mobile picks it up."""
    stage.phone("desk", ring_only=True)
    stage.talk().refer(DESK)
    wait_for(lambda: any("/desk-" in name for name in stage.asterisk.channels()), 5, "a ringing desk")
    extension = f"dialplan add extension 3009,1,PickupChan,{stage.channel('desk')} into transfers-inside replace"
    stage.asterisk.cli(extension)
    stage.phone().dial("3009").wait_answered()


def redirected(stage: Stage) -> None:
    """AMI Redirect of the leg, which has no PBX: it goes on alone."""
    stage.talk()
    stage.act("Redirect", Channel=stage.channel("trunk"), Context="transfers", Exten="3001", Priority="1")


def redirected_with_its_caller(stage: Stage) -> None:
    """AMI Redirect of both legs: Dial is left."""
    stage.talk()
    both = {"Channel": stage.channel("mobile"), "ExtraChannel": stage.channel("trunk")}
    more = {"ExtraContext": "transfers", "ExtraExten": "3001", "ExtraPriority": "1"}
    stage.act("Redirect", **both, Context="transfers", Exten="3001", Priority="1", **more)


SCENES: tuple[Callable[[Stage], None], ...] = (
    local, local_that_stays, local_with_the_ask_before, blind_by_refer, blind_by_digits, attended_by_refer,
    attended_by_digits, blind_out, attended_out, forward_by_302, replaced, parked, picked_up, redirected,
    redirected_with_its_caller,
)  # fmt: skip


def scenes(*sample: Callable[[Stage], None]) -> pytest.MarkDecorator:
    """All of them; those that are not in the sample are of the long form."""
    marks = {scene: () if scene in sample else (pytest.mark.full,) for scene in SCENES}
    params = [pytest.param(scene, marks=marks[scene], id=scene.__name__) for scene in SCENES]
    return pytest.mark.parametrize("scene", params)


def carried(far: Carrier) -> SipCall:
    """The one call that the carrier counted, once it is over."""
    wait_for(lambda: far.calls and far.calls[0].bye, 5, "a BYE at the carrier")
    return one(far.calls)


def check(record: dict[str, Any], call: SipCall, scene: str) -> None:
    """Charged is what the carrier counted, to acme, on one leg."""
    print(f"{scene}: carrier {call.talked_seconds:.3f} s, charged {record['billsec']} s")
    assert record["tenant"] == "acme"
    assert abs(record["billsec"] - call.talked_seconds) <= WITHIN_SECONDS


@scenes(blind_by_refer, forward_by_302, parked)
def test_a_leg_that_was_moved_is_charged_for_what_the_carrier_counts(
    stage: Stage, scene: Callable[[Stage], None]
) -> None:
    """The far end hangs up some time after."""
    stage.gate.top_up("acme", "9.00")
    scene(stage)
    time.sleep(2.2)
    stage.act("Hangup", Channel=stage.channel("trunk"))
    record = one(stage.gate.closed())
    check(record, carried(stage.far), scene.__name__)
    assert (record["outcome"], record["was_cut"]) == ("settled", False)
    assert stage.gate.balance("acme")["held_micros"] == 0


@scenes(attended_by_refer, local_with_the_ask_before)
def test_a_leg_that_was_moved_is_cut_where_its_money_ends(stage: Stage, scene: Callable[[Stage], None]) -> None:
    """Its cap stands, and was extended after the move."""
    stage.gate.top_up("acme", f"{SHORT_SECONDS / 10:.2f}")
    scene(stage)
    record = one(stage.gate.closed(timeout_seconds=15))
    call = carried(stage.far)
    check(record, call, scene.__name__)
    assert (record["billsec"], record["was_cut"]) == (SHORT_SECONDS, True)
    assert call.talked_seconds <= SHORT_SECONDS + LATEST_CUT_SECONDS
    assert stage.gate.balance("acme")["balance_micros"] == 0


@pytest.mark.full
def test_two_legs_that_their_caller_joins_are_charged_each(stage: Stage) -> None:
    """REFER with Replaces between two calls to the trunk: the phone is gone, both carriers' legs talk."""
    stage.gate.top_up("acme", "9.00")
    call = stage.talk()
    call.refer_to(stage.talk(LEEDS))
    time.sleep(1.5)
    stage.act("Hangup", Channel=min(name for name in stage.asterisk.channels() if "/trunk-" in name))
    records = {record["e164"]: record for record in stage.gate.closed(2)}
    wait_for(lambda: all(each.bye for each in stage.far.calls), 5, "both BYEs")
    for each in stage.far.calls:
        check(records[f"+{each.number}"], each, "joined")
    assert len(stage.far.calls) == 2


def test_a_ringing_leg_that_is_picked_up_inside_costs_nothing(stage: Stage) -> None:
    """The carrier gets a CANCEL, the two phones talk, and what was held goes back when they end."""
    stage.gate.top_up("acme", "9.00")
    stage.far.stop()
    stage.far = stage.stack.enter_context(Carrier(stage.asterisk, stage.gate.folder, ring_ms=9000))
    call = stage.phone().dial(LONDON)
    stage.far.wait_invites()
    extension = f"dialplan add extension 3009,1,PickupChan,{stage.channel('trunk')} into transfers-inside replace"
    stage.asterisk.cli(extension)
    stage.phone("desk").dial("3009").wait_answered()
    call.wait_answered().hang_up()
    assert one(stage.far.calls).cancelled
    record = one(stage.gate.closed())
    assert (record["outcome"], record["charged"]) == ("released", "0.00")
    assert stage.gate.balance("acme")["held_micros"] == 0


# -- what may be lost all the same


def forget_cap(stage: Stage) -> str:
    """Take the cap of the leg away, as a masquerade may; its channel's name."""
    leg = stage.channel("trunk")
    stage.act("Setvar", Channel=leg, Variable="TIMEOUT(absolute)", Value="0")
    assert not has_cap(stage, leg)
    return leg


def has_cap(stage: Stage, leg: str) -> bool:
    """Whether the PBX would end it."""
    return one(stage.asterisk.probe.status(Channel=leg))["TimeToHangup"] != "0"


def test_a_cap_that_went_with_a_move_is_set_again(stage: Stage) -> None:
    """The shipped filter lets by what tells of the move. The quantum is not over: nothing else would set it."""
    stage.gate.top_up("acme", "9.00")
    stage.phone("desk")
    call = stage.talk()
    other = stage.talk(DESK)
    wait_for(lambda: stage.far.calls[0].answered_at, 5, "an answer")
    leg = forget_cap(stage)
    call.refer_to(other)
    wait_for(lambda: has_cap(stage, leg), 1.5, "a cap")
    stage.act("Hangup", Channel=leg)
    carried(stage.far)


@pytest.mark.full
@pytest.mark.parametrize("stage", [5], indirect=True)
def test_a_cap_that_went_unheard_is_set_again_by_the_audit(stage: Stage) -> None:
    """Of a call on its last grant, for which nothing more is asked."""
    stage.gate.top_up("acme", "1.50")
    stage.talk()
    time.sleep(8)  # final: its 15 seconds are granted, and armed
    leg = forget_cap(stage)
    wait_for(lambda: has_cap(stage, leg), 7, "a cap")
    assert stage.gate.metric('callgate_faults_total{where="cap_missing"}') == 1
    record = one(stage.gate.closed(timeout_seconds=15))
    check(record, carried(stage.far), "audit")
    assert (record["billsec"], record["was_cut"]) == (15, True)


# -- several trunks at once


def test_a_dial_to_three_trunks_is_charged_once_and_holds_a_block_for_each(stage: Stage) -> None:
    """One of three talks; the others are cancelled, or had answered by then and cost a block at the most."""
    stage.gate.top_up("acme", "9.00")
    stage.far.stop()
    stage.far = stage.stack.enter_context(Carrier(stage.asterisk, stage.gate.folder, ring_ms=2500))
    call = stage.phone().dial("83" + LONDON)
    stage.far.wait_invites(3)
    wait_for(
        lambda: stage.gate.balance("acme")["held_micros"] == 600_000, 3, "4 seconds and 2 blocks of one to be held"
    )
    call.wait_answered()
    wait_for(lambda: stage.gate.balance("acme")["held_micros"] == 400_000, 3, "what was for the others to go back")
    time.sleep(2)
    call.hang_up()
    lost, (won,) = _lost_and_won(stage.far.calls)
    *blocks, record = sorted(stage.gate.closed(3), key=lambda record: int(record["billsec"]))
    check(record, won, "three trunks")
    print("the others:", [f"{each.talked_seconds:.3f}" if each.answered_at else "cancelled" for each in lost])
    assert len(lost) == 2
    assert all(each["billsec"] <= 1 for each in blocks)
    assert stage.gate.balance("acme")["held_micros"] == 0


def _lost_and_won(calls: list[SipCall]) -> tuple[list[SipCall], list[SipCall]]:
    """Those that ended when another had answered, and those that talked."""
    wait_for(lambda: all(each.bye or each.cancelled for each in calls), 5, "the end of all legs")
    won = [each for each in calls if each.answered_at and each.talked_seconds > WITHIN_SECONDS]
    return [each for each in calls if each not in won], won


def test_credit_for_one_leg_rings_none_of_three(stage: Stage) -> None:
    """Two blocks are less than three."""
    stage.gate.top_up("acme", "0.20")
    call = stage.phone().dial("83" + LONDON).wait_over()
    assert call.status == 403
    # A BYE of the test before may be sent again; an INVITE may not.
    assert [each for each in stage.far.calls for message in each.messages if message.method == "INVITE"] == []
    wait_for(lambda: stage.gate.balance("acme")["held_micros"] == 0, 3, "nothing to be held")
