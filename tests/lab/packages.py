"""Programs that tests need and machines lack: Debian packages, unpacked into the lab's folder.

Nothing is installed: packages are fetched by the machine's own apt, with its checks, and unpacked. No root is needed.
"""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.lab.build import LabUnavailable, lab_dir


def unpacked(name: str, packages: Sequence[str], finish: Callable[[Path], object] = lambda _root: None) -> Path:
    """The folder with the files of these packages, fetched at the first call.

    ``finish`` puts right what is there, before anybody else sees it.

    :raises LabUnavailable: with what is missing.
    """
    lab_dir().mkdir(parents=True, exist_ok=True)
    root = lab_dir() / name
    with (lab_dir() / f"{name}.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        if not root.exists():
            _unpack(root, packages, finish)
    return root


def _unpack(root: Path, packages: Sequence[str], finish: Callable[[Path], object]) -> None:
    for tool in ("apt-get", "dpkg"):
        if shutil.which(tool) is None:
            raise LabUnavailable(f"{root.name} comes from Debian's packages: there is no {tool} here")
    with tempfile.TemporaryDirectory(prefix=f".building-{root.name}-", dir=lab_dir()) as name:
        building = Path(name)
        fetched = subprocess.run(
            ["apt-get", "-qq", "download", *packages], cwd=building, capture_output=True, text=True, check=False
        )
        if fetched.returncode != 0:
            last = (fetched.stderr.strip().splitlines() or ["it says nothing"])[-1]
            raise LabUnavailable(f"apt-get could not download {', '.join(packages)}: {last}")
        whole = building / "root"
        for package in building.glob("*.deb"):
            subprocess.run(["dpkg", "-x", str(package), str(whole)], check=True)
        finish(whole)
        whole.rename(root)
