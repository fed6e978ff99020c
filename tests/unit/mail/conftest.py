"""A tenant that is told by mail."""

from collections.abc import Callable
from dataclasses import replace
from zoneinfo import ZoneInfo

import pytest

from gateway.core.notices import Subscription
from gateway.core.tenant import Tenant
from tests.unit.core import build

TenantOf = Callable[..., Tenant]


@pytest.fixture
def tenant_of() -> TenantOf:
    """Make a tenant by its language, currency and time zone."""

    def made(language: str = "en", currency: str = "USD", zone: str = "UTC") -> Tenant:
        notices = Subscription(("noc@example.com",), language)
        return replace(build.tenant(), tenant_id="acme", currency=currency, zone=ZoneInfo(zone), notices=notices)

    return made
