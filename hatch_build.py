"""What the wheel carries beside the code: config/, as gateway/config, where gateway.settings.shipped looks for it.

Of a git checkout only what git knows: a file of an admin's own in config/ may hold a secret. Of an unpacked source
archive all of it. Where there is no config/, as in the image (see .dockerignore), the wheel has none.
"""

import shutil
import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

CONFIG = "config"
INSIDE = "gateway"


class Shipped(BuildHookInterface):  # type: ignore[misc]  # hatchling is there when a wheel is built, and only then
    """Adds config/ to a wheel. An editable installation reads it where it is."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Name the files, before the wheel is written."""
        if version == "editable":
            return
        root = Path(self.root)
        for name in _known_to_git(root) or _all_of(root):
            build_data["force_include"][str(root / name)] = f"{INSIDE}/{name}"


def _known_to_git(root: Path) -> list[str]:
    """Files of config/ from the root; none where this is no checkout, or git is not there."""
    git = shutil.which("git")
    if git is None:
        return []
    words = [git, "ls-files", "-z", CONFIG]
    done = subprocess.run(words, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)  # noqa: S603
    names = done.stdout.decode().split("\0") if done.returncode == 0 else []
    return [name for name in names if name and (root / name).is_file()]


def _all_of(root: Path) -> list[str]:
    return [str(file.relative_to(root)) for file in sorted((root / CONFIG).rglob("*")) if file.is_file()]
