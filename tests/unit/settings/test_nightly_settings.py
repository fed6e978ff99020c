"""When the books are audited."""

from datetime import time
from pathlib import Path

import pytest

from gateway.settings import load
from tests.unit.settings.folder import Folder


@pytest.mark.parametrize(("said", "at"), [("", time(3, 30)), ("23:59", time(23, 59)), ("off", None)])
def test_the_hour_of_the_audit(tmp_path: Path, said: str, at: time | None) -> None:
    """03:30 where the config says nothing; off is never."""
    folder = Folder(tmp_path, "acme")
    folder.change("gateway.toml", "[redis]", f'[journal]\naudit_at = "{said}"\n[redis]' if said else "[redis]")
    assert load(folder.root, folder.environ).journal.audit_at == at


@pytest.mark.parametrize("said", ["24:00", "3:30", "03:60", "noon", "03:30:00"])
def test_an_hour_that_is_none_is_told(tmp_path: Path, said: str) -> None:
    """With what may be written."""
    folder = Folder(tmp_path, "acme")
    folder.change("gateway.toml", "[redis]", f'[journal]\naudit_at = "{said}"\n[redis]')
    assert '"03:30"' in str(folder.problem())
