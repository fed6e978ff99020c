"""The gateway archives its journal, unless another one does."""

import asyncio
import shutil
from pathlib import Path

import pytest

from gateway.adapters.archive import read_archive
from gateway.bootstrap import Gateway
from gateway.service import archive
from gateway.settings import load

CONFIG = Path(__file__).parents[3] / "config"


@pytest.mark.parametrize("is_archived", [True, False])
async def test_the_journal_is_archived_where_the_config_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_archived: bool
) -> None:
    """A tenant's first entry is soon in its folder; with archive = false there is no folder at all."""
    monkeypatch.setattr(archive, "ARCHIVE_SECONDS", 0.02)
    monkeypatch.setattr(archive, "LEAST_AGE_MS", 0)
    for name in ("tenants", "tariffs"):
        shutil.copytree(CONFIG / name, tmp_path / "config" / name)
    words = '[redis]\nurl = "embedded"\ndata_dir = "data"\n[http]\nport = 0\n[journal]\ndir = "deep/journal"\n'
    (tmp_path / "config" / "gateway.toml").write_text(words + f"archive = {str(is_archived).lower()}\n")
    folder = tmp_path / "config" / "deep" / "journal"
    async with Gateway(load(tmp_path / "config")), asyncio.timeout(10):
        if is_archived:
            while not list(read_archive(folder / "globex")):
                await asyncio.sleep(0.02)
        else:
            await asyncio.sleep(0.2)
    assert [entry.type for entry in read_archive(folder / "acme")] == (["open"] if is_archived else [])
    assert folder.exists() == is_archived
