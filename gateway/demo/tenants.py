"""The demo's tenants, and the config folder that makes a gateway of them.

Prices are those of a bad dream: a minute costs so much that seconds of talk can be watched eating a balance.
"""

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from gateway.core.access import Role, hash_of


class Payer(StrEnum):
    """Who answers when a tenant's money runs short."""

    CARD = "card"  # the payment desk, at once
    PERSON = "person"  # somebody who notices that the balance is zero, a while later
    NOBODY = "nobody"  # the card is declined


@dataclass(frozen=True, slots=True)
class Home:
    """How a country dials; an X in a number is any digit."""

    country: str  # ISO 3166
    international_prefix: str
    trunk_prefix: str
    calling_code: str
    toll_free: str
    domestic: str
    cli: str  # E.164 without +
    emergency: str = "112"


@dataclass(frozen=True, slots=True)
class DemoTenant:
    """One tenant. Amounts are whole units of its currency, as config has them."""

    name: str
    currency: str  # ISO 4217
    home: Home
    opening: int
    trigger: int
    amount: int
    payer: Payer
    scale: int = 1  # a tariff's prices times this: a yen is not a dollar


US: Final = Home("US", "011", "1", "1", "1800555XXXX", "1212555XXXX", "12125550199", "911")
CA: Final = Home("CA", "011", "1", "1", "1888555XXXX", "1416555XXXX", "14165550199", "911")
GB: Final = Home("GB", "00", "0", "44", "0808157XXXX", "0207946XXXX", "442079460199")
FR: Final = Home("FR", "00", "0", "33", "0805980XXX", "01701890XX", "33170189099")
DE: Final = Home("DE", "00", "0", "49", "0800555XXXX", "03023125XXX", "493023125199")
CH: Final = Home("CH", "00", "0", "41", "0800555XXX", "044668XXXX", "41446681800")
AU: Final = Home("AU", "0011", "0", "61", "1800975XXX", "02555072XX", "61255507299", "000")
JP: Final = Home("JP", "010", "0", "81", "0120555XXX", "0345550XXX", "81345550199", "119")

TENANTS: Final = (
    DemoTenant("acme", "USD", US, 3, 1, 3, Payer.CARD),
    DemoTenant("hooli", "USD", US, 2, 1, 2, Payer.CARD),
    DemoTenant("pied-piper", "USD", US, 1, 1, 2, Payer.PERSON),
    DemoTenant("maple", "CAD", CA, 2, 1, 3, Payer.CARD),
    DemoTenant("globex", "GBP", GB, 2, 1, 2, Payer.CARD),
    DemoTenant("baker-street", "GBP", GB, 1, 1, 2, Payer.PERSON),
    DemoTenant("boulangerie", "EUR", FR, 2, 1, 2, Payer.CARD),
    DemoTenant("papeterie", "EUR", FR, 1, 1, 1, Payer.NOBODY),
    DemoTenant("werkstatt", "EUR", DE, 2, 1, 3, Payer.CARD),
    DemoTenant("uhrmacher", "CHF", CH, 1, 1, 2, Payer.PERSON),
    DemoTenant("outback", "AUD", AU, 2, 1, 2, Payer.CARD),
    DemoTenant("ramen-ya", "JPY", JP, 300, 100, 300, Payer.CARD, scale=100),
)

# prefix, destination, cents of connect fee, cents per minute, initial increment, increment
_PRICES: Final = (
    *((code, "toll-free", 0, 180, 1, 1) for code in ("1800", "1888", "44808", "33805", "49800", "41800", "611800")),
    ("81120", "toll-free", 0, 180, 1, 1),
    ("1", "United States and Canada", 0, 240, 6, 1),
    ("33", "France", 0, 300, 1, 1),
    ("44", "United Kingdom", 1, 300, 1, 1),
    ("49", "Germany", 0, 360, 5, 1),
    ("41", "Switzerland", 2, 420, 1, 1),
    ("61", "Australia", 0, 420, 1, 1),
    ("81", "Japan", 1, 480, 6, 6),
    ("55", "Brazil", 0, 540, 1, 1),
    ("234", "Nigeria", 2, 600, 1, 1),
)
NOT_PRICED: Final = "88213012345"  # a satellite phone that no row of the tariff covers

_GATEWAY: Final = """\
[redis]
data_dir = "../redis"

[ledger]
queue_dir = "../unsettled"

[http]
port = {metrics_port}

[api]
port = 0
tokens_file = "tokens.toml"

[[switch]]
name = "{switch}"
host = "127.0.0.1"
port = {port}
secret = {secret}
ping_interval_ms = 1000
"""

_ADMITTED: Final = """\
[[token]]
name = "{name}"
roles = {roles}
sha256 = "{sha256}"
"""

_TENANT: Final = """\
currency = "{currency}"
tariff = "{currency}.csv"

[numbers]
home_country = "{country}"
international_prefixes = ["{international}"]
trunk_prefix = "{trunk}"

[quota]
quantum_seconds = 4
extend_lead_ms = 1000

[warning]
seconds = 0

[recharge]
trigger = {trigger}
amount = {amount}

[webhook]
url = "{url}/{name}"
secrets = ["{webhook_secret}"]
"""


def webhook_secret(tenant: str) -> str:
    """The secret that signs a tenant's events. Of no worth: both ends of it live in the demo."""
    return "whsec_" + base64.b64encode(hashlib.sha256(f"callgate demo {tenant}".encode()).digest()).decode()


def write_config(
    folder: Path,
    *,
    switch: str,
    port: int,
    secret: str,
    webhook_url: str,
    tokens: Mapping[Role, str],
    metrics_port: int = 0,
) -> None:
    """Write the config that ``callgate serve`` would take: it can be looked at, checked and used like any other.

    ``tokens``: one for each role. ``metrics_port``: 0 for one that is free.
    """
    for sub in ("tenants", "tariffs"):
        (folder / sub).mkdir(parents=True, exist_ok=True)
    gateway = _GATEWAY.format(switch=switch, port=port, secret=json.dumps(secret), metrics_port=metrics_port)
    _write(folder / "gateway.toml", gateway)
    sections = (
        _ADMITTED.format(name=f"demo-{role}", roles=json.dumps([role]), sha256=hash_of(token).hex())
        for role, token in tokens.items()
    )
    _write(folder / "tokens.toml", "\n".join(sections))
    for currency, scale in {(tenant.currency, tenant.scale) for tenant in TENANTS}:
        _write(folder / "tariffs" / f"{currency}.csv", _tariff(scale))
    for tenant in TENANTS:
        text = _TENANT.format(
            name=tenant.name,
            currency=tenant.currency,
            country=tenant.home.country,
            international=tenant.home.international_prefix,
            trunk=tenant.home.trunk_prefix,
            trigger=tenant.trigger,
            amount=tenant.amount,
            url=webhook_url,
            webhook_secret=webhook_secret(tenant.name),
        )
        _write(folder / "tenants" / f"{tenant.name}.toml", text)


def _write(file: Path, text: str) -> None:
    file.write_text(text, "utf-8")
    file.chmod(0o600)  # some of them hold secrets


def _tariff(scale: int) -> str:
    rows = ["prefix,destination,connect_fee,rate_per_minute,initial_increment,increment"]
    for prefix, destination, fee, rate, initial, increment in _PRICES:
        fees, rates = (f"{cents * scale // 100}.{cents * scale % 100:02}" for cents in (fee, rate))
        rows.append(f"{prefix},{destination},{fees},{rates},{initial},{increment}")
    return "\n".join((*rows, ""))
