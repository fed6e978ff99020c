"""The Grafana dashboards of config/grafana, a module each, written as tables of panels (make dashboards)."""

from typing import Final

from . import fraud, internals, overview, tenant

DASHBOARDS: Final = {
    "overview": overview.DASHBOARD,
    "tenant": tenant.DASHBOARD,
    "internals": internals.DASHBOARD,
    "fraud": fraud.DASHBOARD,
}
