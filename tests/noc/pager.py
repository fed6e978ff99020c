"""What a pager's service would get: a receiver of Alertmanager's webhooks that keeps what it was told."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any, Self

from aiohttp import web


@dataclass
class Told:
    """One message. ``alerts``: the names of those in it that fire."""

    receiver: str  # page or ticket
    status: str  # firing or resolved
    alerts: list[str]
    said: list[str]  # their summaries


@dataclass
class Pager:
    """``async with`` starts and ends it, on a port of loopback."""

    messages: list[Told] = field(default_factory=list)
    address: str = ""

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_post("/{receiver}", self._take)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.address = f"127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _take(self, request: web.Request) -> web.Response:
        body: dict[str, Any] = await request.json()
        firing = [alert for alert in body["alerts"] if alert["status"] == "firing"]
        names = [alert["labels"]["alertname"] for alert in firing]
        said = [alert["annotations"].get("summary", "") for alert in firing]
        self.messages.append(Told(request.match_info["receiver"], body["status"], names, said))
        return web.Response()

    async def heard(self, count: int, settle_seconds: float) -> None:
        """Wait until it was told so many times, and then a while for what should not come."""
        async with asyncio.timeout(20):
            while len(self.messages) < count:
                await asyncio.sleep(0.05)
        await asyncio.sleep(settle_seconds)
