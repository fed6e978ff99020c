"""What a tenant's calls cost and which it may make: its own file first, then its plan, then what holds for all."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeAlias

from gateway.core.barring import Barring
from gateway.core.guards import Guards
from gateway.core.limits import Limit
from gateway.core.tenant import CREDIT_MONTHS, NEVER_METERED, Included
from gateway.settings.reading import Document, Reading, is_file
from gateway.settings.restraints import PrefixLists, barring_of, check_restraints, guards_of, limits_of
from gateway.settings.restraints import classes_of as _classes
from gateway.settings.tariffs import Tariffs
from gateway.settings.tenant_file import IncludedSection, PlanFile, TenantFile
from rating import INTERNATIONAL_CLASSES, CallClass, TariffChain

UNMETERED: Final = frozenset({"domestic"})
_RISKY: Final = INTERNATIONAL_CLASSES | {CallClass.PREMIUM, CallClass.SATELLITE}
_BARRING: Final = {
    "barred_classes": (),
    "barred_prefixes": (),
    "allowed_classes": (),
    "allowed_prefixes": (),
    "strict_allow_lists": False,
}

Terms: TypeAlias = Document[TenantFile] | Document[PlanFile]


@dataclass(frozen=True, slots=True)
class TenantTerms:
    """What is agreed with a tenant."""

    tariffs: TariffChain
    metered_classes: frozenset[CallClass]
    barring: Barring
    limits: tuple[Limit, ...]
    guards: Guards
    included: tuple[Included, ...]
    credit_limit_micros: int
    credit_months: int | None


@dataclass(slots=True)
class Plans:
    """The plans' folder, and the tariffs that plans and tenants name. Each file is read once."""

    reading: Reading
    folder: Path
    tariffs: Tariffs
    lists: PrefixLists
    default_tariff: str | None
    _documents: dict[Path, Document[PlanFile] | None] = field(default_factory=dict)

    def terms_of(self, tenant: Document[TenantFile]) -> TenantTerms | None:
        """A tenant's terms; None, and problems noted, when they cannot be had."""
        plan = self._plan(tenant)
        if plan is None and tenant.content.plan is not None:
            return None
        sources: Sequence[Terms] = (tenant,) if plan is None else (tenant, plan)
        tariffs = self._chain(tenant, sources)
        if tariffs is None:
            return None
        limits = limits_of(sources, self.lists, tenant.content.time_zone)
        if limits is None:
            return None
        free = _classes(_said(sources, "unmetered_classes", UNMETERED))
        return TenantTerms(
            tariffs=tariffs,
            metered_classes=frozenset(CallClass) - NEVER_METERED - free,
            barring=barring_of({name: _said(sources, name, otherwise) for name, otherwise in _BARRING.items()}),
            limits=limits,
            guards=guards_of(sources),
            included=tuple(map(_included, _said(sources, "included", ()))),
            credit_limit_micros=_said(sources, "credit_limit", 0),
            credit_months=_said(sources, "credit_months", CREDIT_MONTHS) or None,
        )

    def _plan(self, tenant: Document[TenantFile]) -> Document[PlanFile] | None:
        name = tenant.content.plan
        if name is None:
            return None
        file = self.folder / name
        if not is_file(file):
            tenant.wrong(("plan",), f"there is no {file}", "write the file, or name another one of that folder")
            return None
        if file not in self._documents:
            self._documents[file] = self._read(file)
        plan = self._documents[file]
        if plan is not None and plan.content.currency != tenant.content.currency:
            what = f"{name} is in {plan.content.currency}, and the tenant's currency is {tenant.content.currency}"
            tenant.wrong(("plan",), what, "name a plan in the tenant's currency")
            return None
        return plan

    def _read(self, file: Path) -> Document[PlanFile] | None:
        plan = self.reading.document(file, PlanFile, "mend or remove the file")
        if plan is not None:
            check_terms(plan)
        return plan

    def _chain(self, tenant: Document[TenantFile], sources: Sequence[Terms]) -> TariffChain | None:
        """The tenant's own rates, then the plan's, then the default's."""
        currency, unit = tenant.content.currency, _said(sources, "charge_unit", 1)
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


def _said(sources: Sequence[Terms], key: str, otherwise: Any) -> Any:
    """What the first file says that says anything."""
    found = (getattr(source.content, key) for source in sources)
    return next((value for value in found if value is not None), otherwise)


def _included(pool: IncludedSection) -> Included:
    return Included(pool.name, pool.minutes * 60, _classes(pool.classes), pool.prefixes)
