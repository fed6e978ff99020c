"""A simulated PBX and the two sessions that the gateway holds."""

from collections.abc import AsyncIterator

import pytest

from gateway.demo.softswitch import SoftSwitch
from tests.unit.demo.rawami import RawAmi


@pytest.fixture
async def switch() -> AsyncIterator[SoftSwitch]:
    """A started PBX on a free port."""
    softswitch = SoftSwitch(username="callgate", secret="s3cret")
    await softswitch.start()
    yield softswitch
    await softswitch.stop()


@pytest.fixture
async def events(switch: SoftSwitch) -> AsyncIterator[RawAmi]:
    """The session that hears events; its greeting is read."""
    ami = await RawAmi.login(switch)
    await ami.event("FullyBooted")
    yield ami
    ami.writer.close()


@pytest.fixture
async def actions(switch: SoftSwitch) -> AsyncIterator[RawAmi]:
    """The session that acts."""
    ami = await RawAmi.login(switch, "Events: off")
    yield ami
    ami.writer.close()
