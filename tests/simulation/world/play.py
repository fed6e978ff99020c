"""One seed, played from its beginning to where nothing is open any more."""

import asyncio
import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from gateway import bootstrap
from gateway.demo.dialplan import Include
from gateway.ports import AccountTerms
from gateway.service import (
    asks,
    chores,
    exposure,
    lane,
    leg_errands,
    legs,
    reap,
    resync,
    session,
    switchboard,
    take_back,
    unsettled,
    verdicts,
)

from .clock import START_SECONDS, StuckError, WorldLoop
from .host import Host
from .judge import Judge
from .link import Mischief
from .net import World
from .pbx import Pbx
from .plan import Fault, Plan
from .vault import Vault

SETTLED_WITHIN_SECONDS: Final = 1_200.0  # from the end of the last fault and the last call
_LOOK_SECONDS: Final = 1.0
_LOGIN_SECONDS: Final = 0.03  # from its start to its first list of channels, about
_IGNORED: Final = "exception was never retrieved"  # of a port's answer that nobody waits for any more

_TALKATIVE: Final[tuple[Any, ...]] = (
    bootstrap, asks, chores, exposure, lane, leg_errands, legs, reap, resync, session, switchboard, take_back,
    unsettled, verdicts,
)  # fmt: skip


class _Silence:
    """A log that nobody reads."""

    def __getattr__(self, _name: str) -> Callable[..., None]:
        return lambda *_words, **_more: None


@contextmanager
def quiet() -> Iterator[None]:
    """The gateway's log lines cost more than all else here, and there are traces."""
    logs = [(module, module.log) for module in _TALKATIVE]
    for module, _ in logs:
        module.log = _Silence()
    try:
        yield
    finally:
        for module, log in logs:
            module.log = log


@dataclass(frozen=True, slots=True)
class Played:
    """What came of a seed."""

    plan: Plan
    failure: str
    lines: list[str]
    seconds: float  # of the world's
    facts: dict[str, int]

    @property
    def trace(self) -> str:
        """Two plays are alike when this is."""
        return hashlib.sha256("\n".join(self.lines).encode()).hexdigest()[:16]


class Play:
    """All of a seed's world."""

    def __init__(self, plan: Plan, loop: WorldLoop, make_vault: Callable[[World], Vault] = Vault) -> None:
        self.plan, self.loop = plan, loop
        self.world = World(loop, f"world {plan.seed}")
        self.vault = make_vault(self.world)
        include = Include(continue_on_silence=plan.continues, silence_cap_ms=30_000)
        self.pbxs = [Pbx(self.world, f"pbx{number}", include) for number in range(plan.pbxs)]
        self.mischief = [Mischief() for _ in self.pbxs]
        self.hosts = [
            Host(self.world, number, plan.tenants, self.vault, self.pbxs, self.mischief)
            for number in range(plan.gateways)
        ]
        self.judge = Judge(self.world, plan, self.vault, self.pbxs, self.hosts)
        self.vault.on_difference = lambda what: self.judge.fail(1, what)
        loop.set_exception_handler(self._raised)

    def _raised(self, _loop: Any, context: dict[str, Any]) -> None:
        if _IGNORED in context["message"] and "task" not in context:
            return
        self.judge.fail(9, f"{context['message']}: {context.get('exception')!r}")

    # ---------------------------------------------------------------------------------------------------- the play

    async def run(self) -> None:
        """Until nothing is open, or it took too long."""
        plan, world = self.plan, self.world
        for tenant in plan.tenants:
            await self.vault.open(AccountTerms(tenant.tenant_id, tenant.currency), plan.credit[tenant.tenant_id])
        for host in self.hosts:
            host.start()
        for call in plan.calls:
            world.at(START_SECONDS + call.at, self.pbxs[call.pbx].place, call)
        for number, (at, name, micros) in enumerate(plan.topups):
            world.at(START_SECONDS + at, self.vault.top_up, name, f"topup-{number}", micros)
        for fault in plan.faults:
            world.at(START_SECONDS + fault.at, self._break, fault)
        last = max([0.0, *(call.at for call in plan.calls), *(fault.at + fault.seconds for fault in plan.faults)])
        await asyncio.sleep(last + _LOOK_SECONDS)
        while any(pbx.channels or not pbx.is_running for pbx in self.pbxs):
            await asyncio.sleep(_LOOK_SECONDS)
        until = self.loop.seconds + SETTLED_WITHIN_SECONDS
        while (problem := self.judge.unsettled()) and self.loop.seconds < until:
            await asyncio.sleep(_LOOK_SECONDS)
        if problem:
            self.judge.fail(8, f"it does not settle: {problem}")
        await asyncio.sleep(2 * _LOOK_SECONDS)
        await self.vault.audit()
        self.judge.judge_end()

    def facts(self) -> dict[str, int]:
        """How much happened."""
        talks = [talk for pbx in self.pbxs for talk in pbx.talks]
        return {
            "calls": len(self.plan.calls),
            "talks": len(talks),
            "cut": sum(talk.how == "cut" for talk in talks),
            "lives": sum(host.lives for host in self.hosts),
            "records": sum(len(host.tally.records) for host in self.hosts),
        }

    # ------------------------------------------------------------------------------------------------- what breaks

    def _break(self, fault: Fault) -> None:
        self.world.note("fault", fault.kind, fault.place, f"{fault.seconds:.3f}", fault.size)
        self.world.breaks(fault.seconds)
        getattr(self, f"_{fault.kind}")(fault, self.hosts[fault.place % len(self.hosts)])

    def _kill(self, fault: Fault, host: Host) -> None:
        host.start_in(fault.seconds + 0.05)
        host.kill()

    def _kill_at_await(self, fault: Fault, host: Host) -> None:
        if host.process is not None:
            host.process.kill_after = int(fault.size)

    def _kill_on(self, fault: Fault, host: Host) -> None:
        self.world.when(fault.what, lambda: self.world.after(fault.size * 0.004, self._kill_now, fault, host))

    def _kill_now(self, fault: Fault, host: Host) -> None:
        """Where it is to be: the next life is there when the next cap cuts, a little sooner or later."""
        dice = self.world.dice
        now_ms = {pbx: pbx.now_ms() for pbx in self.pbxs}
        cuts = [
            channel.cap_ms - now_ms[pbx] for pbx in self.pbxs for channel in pbx.channels.values() if channel.cap_ms
        ]
        if cuts and dice.random() < 0.5:
            host.start_in(max(0.05, min(cuts) / 1000 - _LOGIN_SECONDS + dice.uniform(-0.02, 0.02)))
        else:
            host.start_in(fault.seconds + 0.05)
        host.kill()

    def _outage_and_kill(self, fault: Fault, host: Host) -> None:
        """The ledger is away from a call's turn on, and the gateway is killed before it is back."""

        def begin() -> None:
            self.world.breaks(fault.seconds)
            self._ledger_down(fault, host)
            self.world.after(fault.seconds * fault.size, self._kill, fault, host)

        self.world.when(fault.what, begin)

    def _restart(self, fault: Fault, host: Host) -> None:
        host.stop(then_start_in=fault.seconds + 6.0)

    def _pause(self, fault: Fault, host: Host) -> None:
        process = host.process
        if process is not None and not process.is_paused:
            process.pause()
            self.world.after(fault.seconds, process.go_on)

    def _link_reset(self, fault: Fault, host: Host) -> None:
        for link in host.links[fault.place : fault.place + 1]:
            link.reset()
        if fault.size:  # and what is asked afterwards is not answered in full
            self.mischief[fault.place].until["spoilt"] = (self.loop.seconds + 2.0, fault.size)

    def _link_blocked(self, fault: Fault, host: Host) -> None:
        path = host.to_pbx[fault.place]
        path.blocked_until = max(path.blocked_until, self.loop.seconds + fault.seconds)

    def _link_slow(self, fault: Fault, host: Host) -> None:
        path = host.to_pbx[fault.place]
        path.slow_until, path.slow_seconds = self.loop.seconds + fault.seconds, fault.size

    def _ledger_reset(self, _fault: Fault, host: Host) -> None:
        if host.ledger is not None:
            host.ledger.reset()

    def _ledger_blocked(self, fault: Fault, host: Host) -> None:
        host.to_vault.blocked_until = max(host.to_vault.blocked_until, self.loop.seconds + fault.seconds)

    def _ledger_slow(self, fault: Fault, host: Host) -> None:
        host.to_vault.slow_until, host.to_vault.slow_seconds = self.loop.seconds + fault.seconds, fault.size

    def _ledger_down(self, fault: Fault, _host: Host) -> None:
        self.vault.stop()
        self.world.after(fault.seconds + 0.05, self.vault.start)

    def _ledger_failover(self, fault: Fault, _host: Host) -> None:
        """Its replica was so far behind, and takes over."""
        if self.vault.replica is None:
            self.vault.remember()
            self.world.after(fault.seconds, self.vault.fail_over)

    def _pbx_restart(self, fault: Fault, _host: Host, *, reuses_ids: bool = False) -> None:
        pbx = self.pbxs[fault.place]
        if pbx.is_running:
            pbx.crash(reuses_ids=reuses_ids)
            self.world.after(fault.seconds + 0.2, pbx.boot)

    def _pbx_restart_reusing(self, fault: Fault, host: Host) -> None:
        self._pbx_restart(fault, host, reuses_ids=True)

    def _pbx_clock(self, fault: Fault, _host: Host) -> None:
        self.pbxs[fault.place].set_clock(int(fault.size * 1000))

    def _ledger_clock(self, fault: Fault, _host: Host) -> None:
        self.vault.clock_ms += int(fault.size * 1000)

    def _mischief(self, fault: Fault, _host: Host) -> None:
        self.mischief[fault.place].until[fault.kind] = (self.loop.seconds + fault.seconds, fault.size)

    _forgery = _doubts = _spoilt = _doubled = _mischief

    def _disk(self, fault: Fault, host: Host) -> None:
        host.disk.full_until = self.loop.seconds + fault.seconds


def play(plan: Plan) -> Played:
    """Play a seed in the made-up world."""
    return play_on(WorldLoop(), plan, Vault)


def play_on(loop: WorldLoop, plan: Plan, make_vault: Callable[[World], Vault]) -> Played:
    """Play a seed on that loop, with that ledger. The loop is closed."""
    stage = Play(plan, loop, make_vault)
    try:
        with quiet():
            loop.run_until_complete(stage.run())
    except StuckError as problem:
        stage.judge.fail(8, str(problem))
    except RuntimeError:
        if not stage.judge.failure:
            raise
    finally:
        for host in stage.hosts:
            host.kill()
        loop.leave()
    return Played(plan, stage.judge.failure, stage.world.lines, loop.seconds - START_SECONDS, stage.facts())
