"""A fresh clone of the checkout, with what is not committed yet: its own virtual environment is made in it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.lab.build import REPOSITORY


def fresh_clone(folder: Path) -> Path:
    """Clone the checkout into a folder that is not there yet."""
    _git("clone", "--quiet", "--no-hardlinks", str(REPOSITORY), str(folder))
    changed = _git("-C", str(REPOSITORY), "ls-files", "--modified", "--others", "--exclude-standard", "-z")
    for name in filter(None, changed.split("\0")):
        source = REPOSITORY / name
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        if source.is_file():
            shutil.copy2(source, folder / name)
        else:
            (folder / name).unlink(missing_ok=True)
    return folder


def _git(*words: str) -> str:
    # Whose checkout it is does not matter to who reads it.
    command = ["git", "-c", "safe.directory=*", *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
