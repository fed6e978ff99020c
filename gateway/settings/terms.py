"""What a tenant's calls cost and which it may make: its own file first, then its plan, then what holds for all."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeAlias
from zoneinfo import ZoneInfo

from gateway.core.barring import Barring
from gateway.core.guards import Guards
from gateway.core.limits import Limit
from gateway.core.tenant import NEVER_METERED, NO_INBOUND, Inbound, Included
from gateway.settings.reading import Document, Reading, is_file
from gateway.settings.restraints import PrefixLists, barring_of, check_restraints, guards_of, limits_of
from gateway.settings.restraints import classes_of as _classes
from gateway.settings.tariffs import Tariffs
from gateway.settings.tenant_file import BARRING, DEFAULT_TERMS, IncludedSection, PlanFile, TenantFile
from rating import INTERNATIONAL_CLASSES, CallClass, NumberPlan, TariffChain, kinds_without_a_row

_RISKY: Final = INTERNATIONAL_CLASSES | {CallClass.PREMIUM, CallClass.SATELLITE}

Terms: TypeAlias = Document[TenantFile] | Document[PlanFile]


@dataclass(frozen=True, slots=True)
class Rules:
    """What a tenant's calls may do, whatever they cost."""

    metered_classes: frozenset[CallClass]
    barring: Barring
    limits: tuple[Limit, ...]
    guards: Guards
    included: tuple[Included, ...]
    credit_limit_micros: int


@dataclass(frozen=True, slots=True)
class TenantTerms:
    """What is agreed with a tenant."""

    tariffs: TariffChain
    rules: Rules
    credit_months: int | None
    inbound: Inbound


@dataclass(slots=True)
class Plans:
    """The plans' folder, and the tariffs that plans and tenants name. Each file is read once."""

    reading: Reading
    folder: Path
    tariffs: Tariffs
    lists: PrefixLists
    default_tariff: str | None
    default_plan: str | None = None
    number_plans: dict[tuple[Any, ...], NumberPlan] = field(default_factory=dict)
    """By what they are made of: tenants that dial alike share one."""
    _documents: dict[Path, Document[PlanFile] | None] = field(default_factory=dict)
    _uncovered: dict[tuple[Any, ...], tuple[str, ...]] = field(default_factory=dict)

    def read_all(self) -> None:
        """Read the plans that no tenant has, too: what is wrong with them is told before one has."""
        for file in sorted(self.folder.glob("*.toml")):
            if not file.name.startswith("."):
                self._document(file)

    @property
    def documents(self) -> list[Document[PlanFile]]:
        """The plans that could be read."""
        return [document for document in self._documents.values() if document is not None]

    def terms_of(self, tenant: Document[TenantFile]) -> TenantTerms | None:
        """A tenant's terms; None, and problems noted, when they cannot be had."""
        sources = self.sources_of(tenant)
        if sources is None:
            return None
        tariffs = self._chain(tenant, sources)
        inbound = self._inbound(tenant, charge_unit_of(sources))
        if tariffs is None or inbound is None:
            return None
        rules = self.rules_of(sources, tenant.content.time_zone)
        if rules is None:
            return None
        return TenantTerms(tariffs, rules, _said(sources, "credit_months") or None, inbound)

    def sources_of(self, tenant: Document[TenantFile]) -> Sequence[Terms] | None:
        """A tenant's file, and its plan's where it has one; None, and problems noted, where that cannot be had."""
        name = tenant.content.plan or self.default_plan
        if name is None:
            return (tenant,)
        plan = self._plan(tenant, name)
        return None if plan is None else (tenant, plan)

    def rules_of(self, sources: Sequence[Terms], zone: ZoneInfo) -> Rules | None:
        """What the first of some files says, and where it says nothing the next; None, and problems noted."""
        limits = limits_of(sources, self.lists, zone)
        if limits is None:
            return None
        return Rules(
            metered_classes=_metered(_classes(_said(sources, "unmetered_classes"))),
            barring=barring_of({name: _said(sources, name) for name in BARRING}),
            limits=limits,
            guards=guards_of(sources),
            included=tuple(map(_included, _said(sources, "included"))),
            credit_limit_micros=_said(sources, "credit_limit"),
        )

    def kinds_without_a_row(
        self, tariffs: TariffChain, number_plan: NumberPlan, metered: frozenset[CallClass]
    ) -> tuple[str, ...]:
        """As `rating.kinds_without_a_row`, looked up once for the tenants that have the same."""
        key = (*map(id, tariffs.tariffs), id(number_plan), metered)
        if key not in self._uncovered:
            self._uncovered[key] = kinds_without_a_row(tariffs, number_plan, metered)
        return self._uncovered[key]

    def _plan(self, tenant: Document[TenantFile], name: str) -> Document[PlanFile] | None:
        file = self.folder / name
        if not is_file(file):
            tenant.wrong(("plan",), f"there is no {file}", "write the file, or name another one of that folder")
            return None
        plan = self._document(file)
        if plan is not None and plan.content.currency != tenant.content.currency:
            kind = "" if tenant.content.plan else "the default plan "
            what = f"{kind}{name} is in {plan.content.currency}, and the tenant's currency is {tenant.content.currency}"
            tenant.wrong(("plan",), what, "name a plan in the tenant's currency")
            return None
        return plan

    def _document(self, file: Path) -> Document[PlanFile] | None:
        if file not in self._documents:
            plan = self.reading.document(file, PlanFile, "mend or remove the file")
            if plan is not None:
                check_terms(plan)
            self._documents[file] = plan
        return self._documents[file]

    def _inbound(self, tenant: Document[TenantFile], charge_unit_micros: int) -> Inbound | None:
        section = tenant.content.inbound
        if section is None:
            return NO_INBOUND
        at = ("inbound", "tariff")
        tariff = self.tariffs.find(section.tariff, tenant.content.currency, charge_unit_micros, tenant, at)
        if tariff is None:
            return None
        unpriced = [number for number in section.numbers if not tariff.rows(number)]
        if unpriced:
            what = f"no row of {section.tariff} prices {', '.join(unpriced)}: every call to it is refused"
            tenant.warn(at, what, "add a row with a prefix of the number")
        return Inbound(frozenset(section.numbers), TariffChain((tariff,)))

    def _chain(self, tenant: Document[TenantFile], sources: Sequence[Terms]) -> TariffChain | None:
        """The tenant's own rates, then the plan's, then the default's."""
        currency, unit = tenant.content.currency, charge_unit_of(sources)
        named = [(source, source.content.tariff) for source in sources]
        named.append((tenant, self.default_tariff))
        names = dict.fromkeys(name for _, name in named if name is not None)
        if not names:
            what = "nothing says what calls cost"
            tenant.wrong((), what, 'write tariff = "NAME.csv" here, in the plan, or default_tariff in gateway.toml')
            return None
        askers = {name: source for source, name in reversed(named)}
        found = [self.tariffs.find(name, currency, unit, askers[name]) for name in names]
        tariffs = tuple(tariff for tariff in found if tariff is not None)
        return TariffChain(tariffs) if len(tariffs) == len(names) else None


def check_terms(document: Terms) -> None:
    """Note what is wrong with a file's own terms."""
    content = document.content
    risky = sorted(_classes(content.unmetered_classes or ()) & _RISKY)
    if risky:
        what = f"calls of class {', '.join(risky)} cost nothing and are never cut"
        document.warn(("unmetered_classes",), what, "remove what is not meant")
    check_restraints(document)
    names = [pool.name for pool in content.included or ()]
    for index, pool in enumerate(content.included or ()):
        if pool.name in names[:index]:
            document.wrong(("included", index, "name"), f"{pool.name} stands here twice", "give each a name of its own")
        if not pool.classes and not pool.prefixes:
            document.wrong(("included", index), "these minutes are for no calls", "write classes, or prefixes")


def charge_unit_of(sources: Sequence[Terms]) -> int:
    """In micro-units."""
    unit: int = _said(sources, "charge_unit")
    return unit


def _said(sources: Sequence[Terms], key: str) -> Any:
    """What the first file says that says anything."""
    found = (getattr(source.content, key) for source in sources)
    return next((value for value in found if value is not None), DEFAULT_TERMS[key])


@cache
def _metered(free: frozenset[CallClass]) -> frozenset[CallClass]:
    return frozenset(CallClass) - NEVER_METERED - free


def _included(pool: IncludedSection) -> Included:
    return Included(pool.name, pool.minutes * 60, _classes(pool.classes), pool.prefixes)
