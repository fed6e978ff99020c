"""A scripted manager interface and the adapter connected to it."""

from collections.abc import AsyncIterator

import pytest_asyncio

from gateway.adapters.ami.settings import AmiSettings
from gateway.adapters.ami.switch import AmiSwitch
from gateway.core.facts import Fact, LinkDown, LinkUp
from tests.contract.ami_server import AmiServer, until


class Bench:
    """A server, a switch, and the facts that came out."""

    def __init__(self) -> None:
        self.server = AmiServer()
        self.facts: list[Fact] = []
        self.switches: list[AmiSwitch] = []

    def make(self, **changes: object) -> AmiSwitch:
        """A switch that is not started; times are short, so that what is slow by design is tested in moments."""
        values = {
            "name": "pbx1", "username": "callgate", "secret": "s3cret", "port": self.server.port,
            "login_seconds": 1.0, "refused_retry_seconds": 0.6, "action_seconds": 0.5, "list_seconds": 0.5,
            "ping_interval_seconds": 0.1, "ping_seconds": 0.3, "backoff_seconds": 0.02, "most_backoff_seconds": 0.1,
            "boot_seconds": 0.2,
        }  # fmt: skip
        switch = AmiSwitch(AmiSettings(**(values | changes)), self.facts.append)  # type: ignore[arg-type]
        self.switches.append(switch)
        return switch

    async def up(self, **changes: object) -> AmiSwitch:
        """A switch that told LinkUp."""
        switch = self.make(**changes)
        switch.start()
        await until(lambda: switch.is_up)
        await until(lambda: self.facts)
        return switch

    def links(self) -> list[Fact]:
        """What was told of the link so far."""
        return [fact for fact in self.facts if isinstance(fact, LinkUp | LinkDown)]

    def others(self) -> list[Fact]:
        """All other facts."""
        return [fact for fact in self.facts if not isinstance(fact, LinkUp | LinkDown)]


@pytest_asyncio.fixture
async def bench() -> AsyncIterator[Bench]:
    """A server that listens; everything ends with the test."""
    made = Bench()
    await made.server.start()
    yield made
    for switch in made.switches:
        await switch.stop()
    await made.server.stop()
