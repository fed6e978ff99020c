"""What is different between two configs, in values that are in force: what a reload would change."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, Final

from gateway.core.tenant import Tenant
from gateway.settings.loader import Settings
from gateway.settings.resolve import InForce, Value

APPLIED: Final = frozenset({"verdict", "paths", "rating"})
"""The sections of gateway.toml that a reload applies. All else holds from the start of a gateway to its end."""


@dataclass(frozen=True, slots=True)
class Change:
    """One value. ``tenant`` is empty for one of gateway.toml; ``key`` is empty for a tenant that comes or goes.

    ``before`` and ``after`` are None where there is none. Secrets are hidden: only that they change is told.
    """

    tenant: str
    key: str
    before: Any
    after: Any
    needs_restart: bool = False

    def __str__(self) -> str:
        whose = f"tenant {self.tenant}" if self.tenant else "gateway.toml"
        if not self.key:
            return f"{whose}: {'leaves' if self.after is None else 'is new'}"
        later = " (only after a restart)" if self.needs_restart else ""
        return f"{whose}: {self.key}: {_shown(self.before)} -> {_shown(self.after)}{later}"


@dataclass(frozen=True, slots=True)
class Difference:
    """All changes; ``tenants`` are those, new ones too, that another config than before holds for."""

    changes: tuple[Change, ...]
    tenants: tuple[Tenant, ...]

    @property
    def needs_restart(self) -> tuple[str, ...]:
        """Keys of gateway.toml."""
        return tuple(change.key for change in self.changes if change.needs_restart)


def difference(started: list[Value], now: Settings, new: Settings) -> Difference:
    """What ``new`` changes in a gateway that has ``now`` in force and was started with those values of gateway.toml."""
    values, new_values = InForce(now), InForce(new)
    changed = [tenant for tenant in new.tenants.values() if not _is_same(now.tenants.get(tenant.tenant_id), tenant)]
    changes = _of_gateway(started, values.gateway(), new_values.gateway())
    changes += [Change(name, "", "", None) for name in now.tenants if name not in new.tenants]
    for tenant in changed:
        name = tenant.tenant_id
        if name in now.tenants:
            found = [Change(name, *each) for each in _between(values.tenant(name), new_values.tenant(name))]
            changes += found or [Change(name, "what its files name", "(before)", "(other)")]
        else:
            changes.append(Change(name, "", None, ""))
    return Difference(tuple(changes), tuple(changed))


def _of_gateway(started: list[Value], now: list[Value], new: list[Value]) -> list[Change]:
    rest = {_section(value.key) for value in (*started, *new)} - APPLIED
    at_once = [Change("", *each) for each in _between(now, new, APPLIED)]
    return at_once + [Change("", *each, needs_restart=True) for each in _between(started, new, rest)]


def _between(
    before: list[Value], after: list[Value], sections: frozenset[str] | set[str] | None = None
) -> Iterator[tuple[str, Any, Any]]:
    """Key, before and after of what is not the same."""
    old, new = _by_key(before), _by_key(after)
    for key in dict.fromkeys((*old, *new)):
        was, is_now = old.get(key), new.get(key)
        is_same = was is not None and is_now is not None and (was.value, was.mark) == (is_now.value, is_now.mark)
        if not is_same and (sections is None or _section(key) in sections):
            yield key, None if was is None else was.value, None if is_now is None else is_now.value


def _by_key(values: list[Value]) -> Mapping[str, Value]:
    return {value.key: value for value in values}


def _section(key: str) -> str:
    return key.partition(".")[0].partition("[")[0]


def _is_same(before: Tenant | None, after: Tenant) -> bool:
    """Whether nothing is to be done. Tariffs are long: those whose files are the same are the same objects."""
    if before is None:
        return False
    tariffs = before.tariffs.tariffs, after.tariffs.tariffs
    if len(tariffs[0]) != len(tariffs[1]) or any(a is not b for a, b in zip(*tariffs, strict=True)):
        return False
    names = [field.name for field in fields(Tenant) if field.name != "tariffs"]
    return all(getattr(before, name) == getattr(after, name) for name in names)


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, list):
        return f"[{', '.join(map(str, value))}]"
    return str(value) or '""'
