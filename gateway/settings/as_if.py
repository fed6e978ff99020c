"""A tenant of the config as if its files said something else: a tariff that is not in force yet, other limits."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, NoReturn

from gateway.core.tenant import Tenant
from gateway.settings.gateway_file import GatewayFile
from gateway.settings.loader import Settings
from gateway.settings.problem import ConfigErrors, Problem, in_order
from gateway.settings.reading import MOST_TOML_BYTES, Document, Reading, is_file
from gateway.settings.restraints import PrefixLists
from gateway.settings.tariffs import Tariffs
from gateway.settings.tenant_file import PlanFile, TenantFile
from gateway.settings.terms import Plans, Rules, charge_unit_of, check_terms
from rating import Tariff, TariffChain

_AT_LIMITS: Final = "name a tenant's or a plan's file"


def tenant_as_if(settings: Settings, tenant: Tenant, tariff: str | None, limits: str | None) -> Tenant:
    """The tenant with another tariff, or with the rules of another file. Each is a path, or a name in the config.

    A tariff takes the place of that of the same name; where the tenant has none of it, that of the tariff which the
    tenant's file names, in front of those of the plan and the default. Of a file of limits, all that it says of limits,
    bars, guards, unmetered classes, included minutes and the credit limit is taken, and nothing of the tenant's own is
    kept of these; its prices are not looked at. Raises ConfigErrors.
    """
    as_if = _AsIf(settings, tenant)
    changed = tenant
    if tariff is not None:
        changed = as_if.with_tariff(changed, tariff)
    if limits is not None:
        changed = as_if.with_rules(changed, limits)
    return changed


class _AsIf:
    """The files of a config, read again as far as they are needed."""

    def __init__(self, settings: Settings, tenant: Tenant) -> None:
        files = settings.files
        self._reading = Reading(files.folder, {})
        gateway = self._reading.parse(Path(files.gateway.file), files.gateway.text, GatewayFile)
        source = files.tenants[tenant.tenant_id]
        own = self._reading.parse(Path(source.file), source.text, TenantFile)
        assert gateway is not None, "a config in force has no wrong file"
        assert own is not None, "a config in force has no wrong file"
        self._own, paths, rating = own, gateway.content.paths, gateway.content.rating
        self._tenants = self._reading.path(paths.tenants)
        self._tariffs = Tariffs(self._reading, self._reading.path(paths.tariffs), files.tariffs)
        lists = PrefixLists(self._reading, self._reading.path(paths.lists))
        plans = self._reading.path(paths.plans)
        self._plans = Plans(self._reading, plans, self._tariffs, lists, rating.default_tariff, rating.default_plan)

    def with_tariff(self, tenant: Tenant, name: str) -> Tenant:
        """Raises ConfigErrors."""
        file = self._file(name, (self._tariffs.folder,), ".csv", "name the CSV of a tariff")
        sources = self._plans.sources_of(self._own)
        assert sources is not None, "a config in force has its plan"
        tariffs = Tariffs(self._reading, file.parent)
        new = tariffs.find(file.name, tenant.currency, charge_unit_of(sources), self._own)
        if new is None:
            self._fail()
        inbound = tenant.inbound
        if any(tariff.name == new.name for tariff in inbound.tariffs.tariffs):
            inbound = replace(inbound, tariffs=TariffChain((new,)))
        return replace(
            tenant, tariffs=self._chain(tenant, new, is_inbound=inbound is not tenant.inbound), inbound=inbound
        )

    def _chain(self, tenant: Tenant, new: Tariff, *, is_inbound: bool) -> TariffChain:
        today = tenant.tariffs.tariffs
        if any(tariff.name == new.name for tariff in today):
            return TariffChain(tuple(new if tariff.name == new.name else tariff for tariff in today))
        if is_inbound:
            return tenant.tariffs
        return TariffChain((new, *(today if self._own.content.tariff is None else today[1:])))

    def with_rules(self, tenant: Tenant, name: str) -> Tenant:
        """Raises ConfigErrors."""
        file = self._file(name, (self._plans.folder, self._tenants), ".toml", _AT_LIMITS)
        rules = self._rules(tenant, file)
        if rules is None or any(not problem.is_warning for problem in self._reading.problems):
            self._fail()
        return replace(
            tenant,
            metered_classes=rules.metered_classes,
            barring=rules.barring,
            limits=rules.limits,
            guards=rules.guards,
            included=rules.included,
            credit_limit_micros=rules.credit_limit_micros,
        )

    def _rules(self, tenant: Tenant, file: Path) -> Rules | None:
        text = self._reading.text(file, MOST_TOML_BYTES, _AT_LIMITS)
        if text is None:
            return None
        document: Document[Any] | None
        sources: Sequence[Document[Any]] | None
        if "numbers" in _keys(text):  # only a tenant's file says how is dialled
            document = self._reading.parse(file, text, TenantFile)
            sources = None if document is None else self._plans.sources_of(document)
        else:
            document = self._reading.parse(file, text, PlanFile)
            sources = None if document is None else (document,)
        if document is None or sources is None:
            return None
        check_terms(document)
        if document.content.currency != tenant.currency:
            what = f"these amounts are in {document.content.currency}, and the tenant's currency is {tenant.currency}"
            document.wrong(("currency",), what, f"name a file in {tenant.currency}")
        return self._plans.rules_of(sources, tenant.zone)

    def _file(self, name: str, folders: Sequence[Path], ending: str, remedy: str) -> Path:
        """A path from where the command was started, or a name in a folder of the config."""
        places = [Path(name).absolute(), *(folder / f"{name}{end}" for folder in folders for end in ("", ending))]
        found = next((place for place in places if is_file(place)), None)
        if found is None:
            what = f"there is no such file, neither here nor in {' or '.join(map(str, folders))}"
            self._reading.problems.append(Problem(Path(name), None, "", what, remedy))
            self._fail()
        return found

    def _fail(self) -> NoReturn:
        raise ConfigErrors(tuple(in_order(self._reading.problems)))


def _keys(text: str) -> Mapping[str, Any]:
    """Of a TOML's first level; none of what is no TOML, which is told when it is read."""
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError):
        return {}
