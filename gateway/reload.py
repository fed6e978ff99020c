"""A changed config, taken by the gateway that runs: read, checked, made, and swapped whole, or the old one is kept.

- Reading is done in a thread that gives way: asks go on, and none of them waits long (tests/load/bench_config.py).
- The ledger has the accounts of new and changed tenants before the swap; the swap itself is one step of the loop.
- Live calls take their tenant's new rules from their next step on and keep the price at which they were dialled.
- A tenant that left the config pays for nothing new; its live calls go on to their end by the old rules.
"""

import asyncio
import contextlib
import gc
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Final, Protocol, TypeVar

import structlog

from gateway.core.tenant import Tenant
from gateway.ports import Ledger, LedgerRejected, LedgerUnavailable
from gateway.service.accounts import in_slices, open_account, terms_of
from gateway.service.deliveries import Deliveries
from gateway.service.directory import Directory, Register
from gateway.service.switchboard import Switchboard
from gateway.settings import ConfigErrors, Settings, load
from gateway.settings.changes import Change, Difference, difference
from gateway.settings.resolve import InForce

log = structlog.get_logger(__name__)

# The loop's thread takes the interpreter back from the reading one after this: Python's usual 5 ms, several times
# in a verdict, would be felt.
GIVE_WAY_SECONDS: Final = 0.0002
TENANTS_AT_ONCE: Final = 10
CHANGES_LOGGED: Final = 50
T = TypeVar("T")


class ReloadWatch(Protocol):
    """Who counts reloads, and needs to know of tenants."""

    def set_tenants(self, tenants: Sequence[Tenant]) -> None:
        """More tenants, or changed ones."""
        ...

    def config_read(self, *, is_taken: bool) -> None:
        """A reload has ended."""
        ...


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a reload, or would come of it. ``problems`` say why it was not taken; else there are none."""

    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    changes: tuple[Change, ...] = ()
    needs_restart: tuple[str, ...] = ()  # keys of gateway.toml that a reload does not apply

    @property
    def is_taken(self) -> bool:
        """The new config is in force, or could be."""
        return not self.problems


class Reloader:
    """Knows the config that is in force, and changes it. One reload at a time; the next one waits."""

    def __init__(
        self,
        settings: Settings,
        ledger: Ledger,
        directory: Directory,
        boards: Mapping[str, Switchboard],
        deliverer: Deliveries,
        watch: ReloadWatch,
        on_taken: Callable[[Settings], None],
    ) -> None:
        """``on_taken`` is told of the new config in the step that swaps it."""
        self.settings = settings
        self._started = InForce(settings).gateway()  # not the settings: a large tariff that is replaced must go
        self._ledger = ledger
        self._directory = directory
        self._boards = boards
        self._deliverer = deliverer
        self._watch = watch
        self._on_taken = on_taken
        self._lock = asyncio.Lock()
        self._next: asyncio.Task[Outcome] | None = None  # waits for the one under way
        self._unsure: set[str] = set()  # tenants whose terms the ledger may have as a config that was not taken says

    @property
    def is_busy(self) -> bool:
        """One is under way."""
        return self._lock.locked()

    async def reload(self) -> Outcome:
        """Take the config as it is now on disk, whole, or keep the old one. Never raises for what it finds.

        Who asks while a reload waits for the one under way shares it. It goes on to its end though nobody waits for it
        any more: a request that took too long must not leave half of a config.
        """
        if self._next is None:
            self._next = asyncio.ensure_future(self._reload_next())
        return await asyncio.shield(self._next)

    async def _reload_next(self) -> Outcome:
        async with self._lock:
            self._next = None  # what is written from now on is for another one to see
            began = time.monotonic()
            try:
                outcome = await self._reload()
            except Exception as error:
                log.error("config.reload_failed", exc_info=error)
                outcome = Outcome(problems=(f"the reload failed ({error!r}); the log has more",))
        self._watch.config_read(is_taken=outcome.is_taken)
        self._tell(outcome, time.monotonic() - began)
        return outcome

    async def preview(self) -> Outcome:
        """What a reload would change now. Nothing is asked of the ledger."""
        async with self._lock:
            try:
                new, _, found = await in_background(self._read)
            except ConfigErrors as errors:
                return _refusal(errors)
        return _outcome(new, found)

    # ------------------------------------------------------------------------------------------------- step by step

    async def _reload(self) -> Outcome:
        try:
            new, register, found = await in_background(self._read)
            await self._open_accounts(new, found.tenants)
        except ConfigErrors as errors:
            return _refusal(errors)
        except (LedgerUnavailable, LedgerRejected) as error:
            return Outcome(problems=(str(error),))
        await self._announce(found.tenants)
        self.settings = new
        self._on_taken(new)
        self._directory.take(register)
        for board in self._boards.values():
            board.asks.deadline_ms = new.verdict_deadline_ms
        await self._apply(found.tenants)
        return _outcome(new, found)

    def _read(self) -> tuple[Settings, Register, Difference]:
        """In a thread. Raises ConfigErrors."""
        new = load(self.settings.config_dir, before=self.settings)
        return new, Register(new.tenants.values()), difference(self._started, self.settings, new)

    async def _open_accounts(self, new: Settings, changed: Iterable[Tenant]) -> None:
        """All or none: where one cannot be, the others have their old terms back. Raises as `open_account`.

        A ledger that fell silent may have taken some, and not take them back: those are told it again by the next
        reload, also where their files are as before again.
        """
        known = {tenant.tenant_id: tenant for tenant in self._directory}
        wanted = {tenant.tenant_id: tenant for tenant in changed if terms_of(tenant) != _terms_before(known, tenant)}
        wanted |= {name: new.tenants[name] for name in self._unsure if name in new.tenants}
        self._unsure |= wanted.keys()
        try:
            await self._open(wanted.values())
        except (LedgerUnavailable, LedgerRejected):
            with contextlib.suppress(LedgerUnavailable, LedgerRejected):
                await self._open(known[name] for name in wanted if name in known)
                self._unsure -= wanted.keys()
            raise
        self._unsure -= wanted.keys()

    async def _open(self, tenants: Iterable[Tenant]) -> None:
        await in_slices([partial(open_account, self._ledger, tenant) for tenant in tenants])

    async def _announce(self, tenants: tuple[Tenant, ...]) -> None:
        """Series for new tenants, before they are counted."""
        for start in range(0, len(tenants), TENANTS_AT_ONCE):
            self._watch.set_tenants(tenants[start : start + TENANTS_AT_ONCE])
            await asyncio.sleep(0)

    async def _apply(self, tenants: tuple[Tenant, ...]) -> None:
        """To what is under way. Calls that are opened meanwhile have the new rules already."""
        for number, tenant in enumerate(tenants, 1):
            for board in self._boards.values():
                board.take_rules(tenant)
            self._deliverer.rules_changed(tenant.tenant_id)
            if number % TENANTS_AT_ONCE == 0:
                await asyncio.sleep(0)

    @staticmethod
    def _tell(outcome: Outcome, seconds: float) -> None:
        for warning in outcome.warnings:
            log.warning("config.warning", problem=warning)
        if not outcome.is_taken:
            log.error("config.kept", problems=outcome.problems, remedy="mend them, and reload again")
            return
        for change in outcome.changes[:CHANGES_LOGGED]:
            log.info("config.change", change=str(change))
        log.info(
            "config.reloaded",
            changes=len(outcome.changes),
            needs_restart=outcome.needs_restart,
            seconds=round(seconds, 3),
        )


def facts_of(outcome: Outcome) -> dict[str, object]:
    """An outcome as JSON has it."""
    return {"is_taken": outcome.is_taken, **asdict(outcome)}


def _outcome(new: Settings, found: Difference) -> Outcome:
    return Outcome((), tuple(map(str, new.warnings)), found.changes, found.needs_restart)


def _refusal(errors: ConfigErrors) -> Outcome:
    return Outcome(
        problems=tuple(str(problem) for problem in errors.problems if not problem.is_warning),
        warnings=tuple(str(problem) for problem in errors.problems if problem.is_warning),
    )


def _terms_before(known: Mapping[str, Tenant], tenant: Tenant) -> object:
    before = known.get(tenant.tenant_id)
    return None if before is None else terms_of(before)


async def in_background(work: Callable[[], T]) -> T:
    """Do it in a thread that gives way to the event loop's."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(GIVE_WAY_SECONDS)
    gc.disable()  # what is read lives on: full collections in its midst would find nothing, and stop all threads
    try:
        return await asyncio.to_thread(work)
    finally:
        gc.enable()
        sys.setswitchinterval(usual)
