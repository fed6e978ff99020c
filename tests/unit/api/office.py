"""What the tests of the API share: two tenants on the real ledger, a PBX in memory, one token of each kind."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from aiohttp.test_utils import TestClient, TestServer

from gateway.adapters.archive_page import FileArchivePage
from gateway.adapters.http.api import ApiServer
from gateway.adapters.redis.ledger import RedisLedger
from gateway.core.access import Keyring, Role, Token, hash_of
from gateway.core.facts import Ask
from gateway.core.gating import Health, QueueHealth, SwitchHealth
from gateway.core.tenant import Tenant
from gateway.ports import AccountTerms, Refusal, Restriction
from gateway.service.desk import Desk
from gateway.service.directory import Directory
from gateway.service.live import LiveFeed
from gateway.service.switchboard import Switchboard
from tests.unit.core import build
from tests.unit.service.house import House

MICROS: Final = 1_000_000
NO_TOKEN: Final = ""


class FakeLimits:
    """Implements ports.Restraints in memory, until the ledger does."""

    def __init__(self) -> None:
        self.found: dict[tuple[str, str], Restriction] = {}
        self.refused: dict[str, list[Refusal]] = {}
        self.countries: set[tuple[str, str]] = set()

    async def restrict(self, tenant: str, cli: str, why: str, seconds: int | None) -> None:
        """Keep it."""
        target = f"cli:{cli}" if cli else "tenant"
        until_ms = None if seconds is None else 1_000 + seconds * 1000
        self.found[tenant, target] = Restriction(target, "by_hand", why, 1_000, until_ms)

    async def lift(self, tenant: str, target: str) -> bool:
        """Forget it."""
        return self.found.pop((tenant, target), None) is not None

    async def restrictions(self, tenant: str) -> Sequence[Restriction]:
        """Those that were kept."""
        return [one for (owner, _), one in self.found.items() if owner == tenant]

    async def refusals(self, tenant: str, most: int) -> Sequence[Refusal]:
        """Those that a test put there."""
        return self.refused.get(tenant, [])[:most]

    async def allow_country(self, tenant: str, country: str) -> None:
        """Keep it."""
        self.countries.add((tenant, country))


@dataclass(frozen=True, slots=True)
class Reloaded:
    """Implements ports.Reloaded."""

    is_taken: bool = True
    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


class Office:
    """Two tenants, ``mine`` and ``other``, and five tokens.

    ``read``, ``operate``, ``bill`` and ``all`` (each role) see every tenant, ``mine`` has each role for its own alone.
    """

    def __init__(self, ledger: RedisLedger, folder: Path, number: int) -> None:
        self.house = House(ledger, f"mine-{number}")
        self.ledger = ledger
        self.folder = folder
        self.mine = self.house.tenant.tenant_id
        self.other_tenant: Tenant = build.tenant(tenant_id=f"other-{number}", tariffs=self.house.tenant.tariffs)
        self.other = self.other_tenant.tenant_id
        self.house.directory = Directory([self.house.tenant, self.other_tenant])
        self.boards: dict[str, Switchboard] = {}
        self.health = health()
        self.live = LiveFeed(self.house.books, self.house.directory, self.boards, self._health)
        self.house.onlooker = self.live
        self.house.board = self.boards["pbx1"] = self.house.new_board()
        self.limits = FakeLimits()
        self.reloaded = Reloaded()
        self.desk = Desk(
            ledger,
            self.house.directory,
            FileArchivePage(folder / "journal"),
            boards=self.boards,
            limits=self.limits,
            events=self.ledger,
            leases=self.ledger,
            reload=self._reload,
        )
        self.keyring = keyring(self.mine)
        self.audit_file = folder / "audit.jsonl"

    async def _health(self) -> Health:
        return self.health

    async def _reload(self) -> Reloaded:
        return self.reloaded

    async def open(self) -> None:
        """Open both accounts, empty."""
        await self.house.open()
        await self.ledger.open_account(AccountTerms(self.other, "USD"))

    def server(self, **options: Any) -> ApiServer:
        """The API, not listening yet."""
        more = {"requests_per_second": 10_000, "port": 0, "live": self.live, **options}
        return ApiServer(self.desk, lambda: self.keyring, audit_file=self.audit_file, **more)

    def audit(self) -> list[dict[str, Any]]:
        """The audit log's lines."""
        return [json.loads(line) for line in self.audit_file.read_text().splitlines()]

    def ask_of_other(self) -> Ask:
        """An ask that the other tenant pays for."""
        return build.ask(uniqueid="900.1", nonce="9", tenant=self.other, at_ms=self.house.switch.clock_ms)


def health(fault: str = "") -> Health:
    """Of one switch that is heard, and a ledger that answers, or does not."""
    switch = SwitchHealth("pbx1", True, "", True, "gw", 0, 1.0, 0, 0, 0, 0)
    return Health("gw", (switch,), (QueueHealth("asks", "pbx1", 0, 10, 0),), fault, 0.5)


def keyring(mine: str) -> Keyring:
    """The tokens; the secret of each is its name."""
    everyone = {name: (Role(name),) for name in ("read", "operate", "bill")} | {"all": tuple(Role)}
    tokens = [Token(name, frozenset(roles), None, hash_of(name)) for name, roles in everyone.items()]
    return Keyring([*tokens, Token("mine", frozenset(Role), frozenset({mine}), hash_of("mine"))])


class Caller:
    """Asks the API, and holds that each answer is what it should be whatever it says."""

    def __init__(self, office: Office, **options: Any) -> None:
        self.office = office
        self.server = office.server(**options)
        self._client = TestClient(TestServer(self.server.app()))

    async def __aenter__(self) -> Self:
        await self._client.start_server()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.close()

    async def __call__(self, method: str, path: str, token: str = "all", **options: Any) -> tuple[int, Any]:
        """Status and body."""
        status, _, body = await self.whole(method, path, token, **options)
        return status, body

    async def whole(self, method: str, path: str, token: str = "all", **options: Any) -> tuple[int, Any, Any]:
        """Status, headers and body."""
        headers = {**({"Authorization": f"Bearer {token}"} if token else {}), **options.pop("headers", {})}
        async with self._client.request(method, path, headers=headers, **options) as response:
            text = await response.text()
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            assert "Traceback" not in text
            if response.status >= 400:
                assert response.content_type == "application/problem+json", text
                body = json.loads(text)
                assert body["status"] == response.status
                assert body["type"] == f"urn:callgate:problem:{body['code']}"
            else:
                body = json.loads(text) if text and response.content_type == "application/json" else text
            return response.status, response.headers, body

    async def top_up(self, amount: str = "25.00", key: str = "pay-1", **more: Any) -> tuple[int, Any]:
        """Add funds to ``mine``."""
        path = f"/v1/tenants/{self.office.mine}/topups"
        return await self("POST", path, json={"amount": amount, **more}, headers={"Idempotency-Key": key})
