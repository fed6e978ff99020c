"""What happens in a seed: who phones, with what credit, and what breaks when. All is drawn before it is played."""

import random
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cache
from typing import Final

from gateway.core.exposure import TERMINATE, FailureRule, Policy
from gateway.core.tenant import Fairness, Included, Tenant
from gateway.core.unasked import TrunkRules
from rating import CallClass, Rate, Tariff, TariffChain
from tests.unit.core import build

NUMBER: Final = "011" + build.NUMBER
BLOCKS: Final = ((1, 1), (60, 60), (30, 6), (60, 1), (6, 6))
QUANTA: Final = (20, 60)
MICROS_A_SECOND: Final = 10_000  # 0.60 a minute
CALLS_UNTIL: Final = 40.0
FAULTS_UNTIL: Final = 110.0
LEAD_SECONDS: Final = 5.0
THE_OWNER: Final = -1


@dataclass(frozen=True, slots=True)
class CallPlan:
    """One phone's dial, and what the far end does."""

    at: float
    pbx: int
    tenant: str
    ring_seconds: float
    talk_seconds: float
    is_answered: bool = True
    gives_up_after: float = 0.0  # 0: not before it is answered
    busy_tries: int = 0
    asks_again: bool = False
    legs: int = 1
    tells_legs: bool = False  # the ask says how many there are
    answers_apart: float = 0.0  # seconds after the first leg's answer at which a second one is Up, if so
    moves_after: float = 0.0  # seconds from its answer to a transfer, if there is one
    is_local: bool = False  # its leg is dialled behind a Local channel, which is gone at the answer
    number: str = NUMBER


@dataclass(frozen=True, slots=True)
class Fault:
    """Something breaks. ``seconds``: for how long; ``size``: how much, or how many callbacks later.

    ``place`` is the PBX; ``gateway`` the gateway, or THE_OWNER of that PBX at the time.
    """

    at: float
    kind: str
    place: int = 0
    seconds: float = 0.0
    size: float = 0.0
    what: str = ""  # it waits for that to happen first
    gateway: int = THE_OWNER


@dataclass(frozen=True, slots=True)
class Plan:
    """All of a seed."""

    seed: int
    tenants: tuple[Tenant, ...]
    credit: dict[str, int]
    topups: tuple[tuple[float, str, int], ...]
    pbxs: int
    gateways: int
    lease_ms: int
    drift_ppm: tuple[int, ...]  # of each gateway's clock
    trunks: TrunkRules
    continues: bool  # the dialplan goes on where it hears no verdict
    calls: tuple[CallPlan, ...]
    faults: tuple[Fault, ...] = field(default=())


@cache
def tenant_of(
    name: str,
    block: tuple[int, int],
    fee: str,
    quantum: int,
    fairness: Fairness,
    included: int,
    warning: int,
    failure: FailureRule,
) -> Tenant:
    """A tenant; there are few kinds of them, and each is made once."""
    row = Rate("44", "United Kingdom", Fraction(fee), Fraction("0.60"), *block, 2)
    pools = (Included("plan", included, frozenset(CallClass), ()),) if included else ()
    return build.tenant(
        tenant_id=name,
        tariffs=TariffChain((Tariff("test", (row,)),)),
        quantum_seconds=quantum,
        fairness=fairness,
        included=pools,
        dial_timeout_seconds=60,
        warning_seconds=warning,
        failure=failure,
    )


def _tenant(name: str, dice: random.Random, failure: FailureRule, quanta: tuple[int, ...]) -> Tenant:
    return tenant_of(
        name,
        dice.choice(BLOCKS),
        dice.choice(["0", "0", "0.05"]),
        dice.choice(quanta),
        dice.choice([Fairness.SHRINK, Fairness.SHRINK, Fairness.SHARE, Fairness.OFF]),
        dice.choice([0, 0, 0, 90]),
        dice.choice([0, 10]),
        failure,
    )


def _failure(dice: random.Random) -> FailureRule:
    """What becomes of calls without a ledger, and what may be lent: too little for one call, or enough for some."""
    policy = dice.choices(list(Policy), [2, 4, 1])[0]
    if policy is not Policy.CONTINUE:
        return FailureRule(policy)
    micros, seconds = dice.choice([(100_000, None), (500_000, None), (1_300_000, 150), (None, 70), (9_000_000, 900)])
    return FailureRule(policy, micros, seconds)


def _call(dice: random.Random, tenants: tuple[Tenant, ...], pbxs: int) -> CallPlan:
    ring = dice.choice([0.05, 1.0, 3.0, dice.uniform(0, 20), dice.uniform(0, 60)])
    talk = dice.choice([dice.uniform(0.05, 5), dice.uniform(10, 70), dice.uniform(30, 150), dice.uniform(30, 250)])
    chance = dice.random()
    return CallPlan(
        at=dice.uniform(2.0, CALLS_UNTIL),
        pbx=dice.randrange(pbxs),
        tenant=dice.choice(tenants).tenant_id,
        ring_seconds=ring,
        talk_seconds=talk,
        is_answered=chance < 0.85,
        gives_up_after=dice.uniform(0.001, 4.0) if dice.random() < 0.12 else 0.0,
        busy_tries=dice.choice([0, 0, 0, 1, 1, 2]) if chance < 0.5 else 0,
        asks_again=dice.random() < 0.5,
        legs=2 if dice.random() < 0.1 else 1,
    )


# Kind, weight, the longest it lasts.
KINDS: Final = (
    ("kill", 6, 6.0),
    ("kill_at_await", 12, 6.0),
    ("kill_on", 14, 6.0),
    ("outage_and_kill", 5, 9.0),
    ("restart", 5, 3.0),
    ("pause", 7, 12.0),
    ("link_reset", 10, 0.0),
    ("link_blocked", 8, 9.0),
    ("link_slow", 4, 10.0),
    ("ledger_reset", 8, 0.0),
    ("ledger_blocked", 8, 9.0),
    ("ledger_slow", 6, 10.0),
    ("ledger_down", 5, 8.0),
    ("ledger_failover", 4, 0.5),
    ("pbx_restart", 7, 4.0),
    ("pbx_restart_reusing", 5, 2.0),
    ("pbx_clock", 5, 0.0),
    ("ledger_clock", 4, 0.0),
    ("forgery", 8, 20.0),
    ("doubts", 6, 20.0),
    ("spoilt", 6, 20.0),
    ("doubled", 5, 20.0),
    ("disk", 2, 10.0),
)
# Where something may be lent these come on top: long enough for a live call to be in need of it.
OUTAGES: Final = (("ledger_down", 4, 0.0), ("ledger_blocked", 3, 0.0), ("outage_and_kill", 4, 0.0))
LONGEST_OUTAGE_SECONDS: Final = 45.0
NEAR_DEADLINE: Final = frozenset({"pause", "link_blocked"})  # of a verdict, and of the dialplan's wait
TRIGGERS: Final = (
    "reserve",
    "answer",
    "extend",
    "shrink",
    "settle",
    "release",
    "arm",
    "arm",
    "verdict",
    "answered",
    "ended",
)
# Where there are several gateways these come on top.
PARTINGS: Final = (
    ("kill", 6, 5.0),
    ("pause", 5, 5.0),
    ("pause_on", 8, 3.0),
    ("kill_on", 5, 4.0),
    ("ledger_blocked", 3, 6.0),
    ("ledger_blocked_on", 3, 5.0),
    ("link_blocked", 4, 8.0),
    ("link_down", 3, 6.0),
    ("parted", 4, 8.0),
    ("drain", 5, 6.0),
    ("restart", 4, 3.0),
    ("ledger_failover", 2, 1.0),
)
MID_STEPS: Final = ("reserve", "reserve", "extend", "arm", "answer", "won")
OF_LEASES: Final = ("won", "given")
MOST_DRIFT_PPM: Final = 500  # as far as a clock is slewed
BRIEF_UNTIL: Final = 40.0
BRIEF_QUANTA: Final = (20, 20, 30)
NO_TRUNKS: Final = TrunkRules()
Kinds = tuple[tuple[str, int, float], ...]


def _moment(dice: random.Random, calls: tuple[CallPlan, ...], quanta: dict[str, int], before: Fault | None) -> float:
    """When something breaks: while something else is broken, when a call is at a turn, or at any time."""
    if before is not None and dice.random() < 0.5:
        return before.at + dice.random() * (before.seconds + dice.choice([0.01, 1.0, 4.0]))
    if dice.random() < 0.25:
        return dice.uniform(1.0, FAULTS_UNTIL)
    call = dice.choice(calls)
    answer = call.at + call.ring_seconds
    cap = answer + quanta[call.tenant]
    moments = [call.at, call.at + 0.003, answer, cap - LEAD_SECONDS, cap, answer + call.talk_seconds]
    return dice.choice(moments) + dice.choice([-0.01, 0.0, 0.002, dice.uniform(-1, 1), dice.uniform(-0.01, 0.01)])


def _fault(
    dice: random.Random,
    calls: tuple[CallPlan, ...],
    pbxs: int,
    quanta: dict[str, int],
    before: Fault | None,
    kinds: Kinds = KINDS,
) -> Fault:
    ((kind, _, longest),) = dice.choices(kinds, [weight for _, weight, _ in kinds])
    at = _moment(dice, calls, quanta, before)
    seconds = dice.uniform(0, 1) ** 2 * longest
    if kind in NEAR_DEADLINE and dice.random() < 0.4:
        seconds = dice.uniform(1.5, 3.5)
    sizes = {
        "kill_at_await": float(dice.randint(1, 40)),
        "kill_on": dice.random(),
        "pause_on": dice.choice([0.0, 0.1, 0.3]),
        "ledger_blocked_on": dice.random(),
        "outage_and_kill": dice.uniform(0.5, 1.0),
        "link_reset": dice.choice([0.0, 0.0, 0.5]),
        "link_slow": dice.choice([0.05, 0.5, 2.5]),
        "ledger_slow": dice.choice([0.02, 0.3, 1.5]),
        "pbx_clock": dice.choice([-1, 1]) * dice.choice([0.2, 2.0, 30.0, 600.0]),
        "ledger_clock": dice.choice([-1, 1]) * dice.choice([5.0, 60.0, 600.0]),
        "forgery": dice.choice([0.1, 0.5]),
        "doubts": dice.choice([0.2, 1.0]),
        "spoilt": dice.choice([0.3, 0.9]),
        "doubled": 0.5,
    }
    triggers = (*TRIGGERS, *OF_LEASES) if kinds is PARTINGS else TRIGGERS
    if kind == "pause_on":  # in the midst of a step, and beyond a lease
        triggers, seconds = MID_STEPS, dice.uniform(0.5, 2.5)
    what = dice.choice(triggers) if kind.endswith("_on") else ""
    if kind == "outage_and_kill":
        what = dice.choice(["ended", "answered", "arm"])
    at = min(max(at, 0.5), FAULTS_UNTIL)
    return Fault(at, kind, dice.randrange(pbxs), seconds, sizes.get(kind, 0.0), what)


@dataclass(frozen=True, slots=True)
class Crew:
    """The gateways of a seed."""

    gateways: int
    lease_ms: int
    drift_ppm: tuple[int, ...]

    @property
    def is_several(self) -> bool:
        """There is one to take over."""
        return self.gateways > 1


def _crew(dice: random.Random, gateways: int) -> Crew:
    """A lone gateway has longer leases: nobody waits for them, and each is a step of the ledger several times over."""
    number = gateways or dice.choices([1, 2, 3], [14, 5, 1])[0]
    lease_ms = dice.choice([600, 600, 600, 1_500, 3_000]) if number > 1 else dice.choice([600, 2_000, 10_000, 10_000])
    drift_ppm = tuple(dice.choice([0, dice.randint(-MOST_DRIFT_PPM, MOST_DRIFT_PPM)]) for _ in range(number))
    return Crew(number, lease_ms, drift_ppm)


def _leg(dice: random.Random, call: CallPlan) -> CallPlan:
    """What becomes of its legs: more of them, a race that two win, a transfer, a Local channel."""
    legs = dice.choice([2, 3]) if call.legs > 1 else 1
    tells_legs = legs > 1 and dice.random() < 0.7
    return replace(
        call,
        legs=legs,
        tells_legs=tells_legs,
        answers_apart=dice.uniform(0.001, 0.04) if tells_legs and dice.random() < 0.4 else 0.0,
        moves_after=dice.uniform(0.5, 25.0) if dice.random() < 0.3 else 0.0,
        is_local=legs == 1 and dice.random() < 0.1,
    )


def _brief(call: CallPlan) -> CallPlan:
    """Where gateways ask several times a second who owns what, calls are short, and so is the world."""
    return replace(
        call,
        at=2.0 + (call.at - 2.0) / 4,
        ring_seconds=min(call.ring_seconds, 3.0 + call.ring_seconds / 10),
        talk_seconds=min(call.talk_seconds, 15.0 + call.talk_seconds / 8),
    )


def _partings(
    dice: random.Random, crew: Crew, calls: tuple[CallPlan, ...], pbxs: int, quanta: dict[str, int]
) -> list[Fault]:
    faults: list[Fault] = []
    for _ in range(dice.choice([0, 1, 1, 2, 3])):
        fault = _fault(dice, calls, pbxs, quanta, faults[-1] if faults else None, PARTINGS)
        faults.append(replace(fault, gateway=_whose(dice, crew)))
    return faults


def _whose(dice: random.Random, crew: Crew) -> int:
    return THE_OWNER if dice.random() < 0.6 else dice.randrange(crew.gateways)


def plan_of(seed: int, gateways: int = 0) -> Plan:
    """The plan of a seed: the same each time. ``gateways``: so many, and not as many as is drawn."""
    dice = random.Random(f"plan {seed}")
    luck = random.Random(f"outage {seed}")
    fate = random.Random(f"gateways {seed}")
    crew = _crew(fate, gateways)
    has_policies = luck.random() < 0.5
    tenants = tuple(
        _tenant(name, dice, _failure(luck) if has_policies else TERMINATE, BRIEF_QUANTA if crew.is_several else QUANTA)
        for name in ("acme", "blue")[: dice.choice([1, 1, 2])]
    )
    pbxs = dice.choice([1, 1, 2])
    if crew.is_several:
        pbxs = fate.choice([1, 1, 2, 2, 3])
    calls = tuple(_call(dice, tenants, pbxs) for _ in range(dice.choice([1, 2, 2, 3, 4, 6])))
    calls = tuple(_leg(luck, call) for call in calls)
    if crew.is_several:
        calls = tuple(map(_brief, calls))
    quanta = {tenant.tenant_id: tenant.quantum_seconds for tenant in tenants}
    credit = {}
    for tenant in tenants:
        quantum = tenant.quantum_seconds * MICROS_A_SECOND
        times = dice.choices([0.0, 0.5, 1.5, 2.2, 4.0, 100.0], [1, 2, 4, 4, 4, 5])[0]
        credit[tenant.tenant_id] = int(quantum * times)
    topups = tuple(
        (dice.uniform(3.0, FAULTS_UNTIL), dice.choice(tenants).tenant_id, dice.choice([50_000, 300_000, 5_000_000]))
        for _ in range(dice.choice([0, 0, 1, 2]))
    )
    faults: list[Fault] = []
    for _ in range(dice.choice([0, 0, 1, 1, 2] if crew.is_several else [0, 1, 1, 2, 2, 3, 4, 6])):
        faults.append(_fault(dice, calls, pbxs, quanta, faults[-1] if faults else None))
    if has_policies and luck.random() < 0.8:
        for _ in range(luck.choice([1, 1, 2])):
            outage = _fault(luck, calls, pbxs, quanta, None, OUTAGES)
            longest = LONGEST_OUTAGE_SECONDS / (3 if crew.is_several else 1)
            faults.append(replace(outage, seconds=luck.uniform(1.0, longest)))
    if crew.is_several:
        faults = [replace(fault, at=min(fault.at, BRIEF_UNTIL), gateway=_whose(fate, crew)) for fault in faults]
        faults += _partings(fate, crew, calls, pbxs, quanta)
    faults.sort(key=lambda fault: fault.at)
    return Plan(
        seed, tenants, credit, topups, pbxs, crew.gateways, crew.lease_ms, crew.drift_ppm, NO_TRUNKS,
        dice.random() < 0.2, calls, tuple(faults),
    )  # fmt: skip
