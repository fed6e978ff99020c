"""One gateway and one Chromium for all tests of the page."""

import os
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from .browser import Browser, found
from .scene import Scene

MODE = os.environ.get("CALLGATE_LAB", "auto")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All of them are of the marker, and run in one loop."""
    for item in items:
        if "tests/page" in str(item.path):
            item.add_marker(pytest.mark.page)


@pytest.fixture(scope="session")
def chromium() -> None:
    """Skip where there is none, or fail where it is required."""
    if found() is None:
        word = "there is no Chromium; `python -m tests.page.chromium` installs it"
        if MODE == "required":
            pytest.fail(word, pytrace=False)
        pytest.skip(word)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser(chromium: None, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Browser]:
    """A Chromium."""
    async with Browser(tmp_path_factory.mktemp("chromium")) as browser:
        yield browser


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(chromium: None, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    """A gateway."""
    limits = '\n[[limit]]\nname = "day"\nspend_per_day = "9.00"\n'
    async with Scene(tmp_path_factory.mktemp("scene"), limits=limits) as scene:
        yield scene
