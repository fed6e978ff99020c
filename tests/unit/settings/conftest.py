"""A config folder for each test."""

from pathlib import Path

import pytest

from tests.unit.settings.folder import Folder


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """A right config with the tenant acme."""
    return Folder(tmp_path, "acme")
