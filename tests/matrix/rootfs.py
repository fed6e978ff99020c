"""A Python that this machine has not: that of a newer Debian, in a folder of the lab, with a copy of the checkout.

The copy has a ``.venv`` of its own, from the same pins, made by the same script as in any checkout. Nothing of the
machine is mounted in but /dev and /proc, and nothing of it is written to.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

from tests.image.check import pip_conf
from tests.lab.build import REPOSITORY, LabUnavailable, ensure_folder

HOME: Final = "srv/callgate"
_PACKAGES: Final = "python3,python3-venv,ca-certificates,git,procps"
_CERTIFICATE: Final = "/etc/machine-ca.crt"
_KEPT: Final = frozenset({".venv"})  # of the copy before
_NETWORK: Final = ("etc/resolv.conf", "etc/hosts")
# $1 root, then VARIABLE=value..., then the command.
_IN_THE_ROOT: Final = f"""
set -eu
mount -t proc proc "$1/proc"
mount --rbind /dev "$1/dev"
root=$1
shift
exec chroot "$root" env -i --chdir=/{HOME} PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 \\
    CALLGATE_LAB=off "$@"
"""


def ensure(suite: str) -> Path:
    """Make the folder of a suite ready, with the checkout as it is now, and return it.

    :raises LabUnavailable: with what is missing.
    """
    root = ensure_folder(f"python-{suite}", suite, _PACKAGES, "usr/bin/python3")
    _copy_checkout(root / HOME)
    _equip(root)
    return root


def command(root: Path, *words: str) -> list[str]:
    """A command line that runs ``words`` in the folder, where the checkout's copy is."""
    return ["unshare", "--mount", "sh", "-c", _IN_THE_ROOT, "sh", str(root), *_proxies(), *words]


def _proxies() -> list[str]:
    return [f"{name}={value}" for name, value in os.environ.items() if name.lower().endswith("_proxy")]


def _copy_checkout(home: Path) -> None:
    """What is committed, and what is not yet."""
    home.mkdir(parents=True, exist_ok=True)
    for old in home.iterdir():
        if old.name not in _KEPT:
            shutil.rmtree(old) if old.is_dir() and not old.is_symlink() else old.unlink()
    # Whose checkout it is does not matter to who reads it.
    words = ["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(words, cwd=REPOSITORY, check=True, capture_output=True, text=True).stdout
    for name in filter(None, listed.split("\0")):
        if (REPOSITORY / name).is_file():
            (home / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(REPOSITORY / name, home / name)


def _equip(root: Path) -> None:
    """Install the pins, by the machine's own pip configuration, of which nothing stays."""
    for name in _NETWORK:
        shutil.copyfile(f"/{name}", root / name)
    settings, certificate = pip_conf(_CERTIFICATE)
    passed = root / "etc/pip.conf"
    try:
        passed.write_text(settings)
        if certificate is not None:
            shutil.copyfile(certificate, root / _CERTIFICATE.lstrip("/"))
        done = subprocess.run(
            command(root, "requirements/install", "dev"),
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        )  # fmt: skip
    finally:
        passed.unlink(missing_ok=True)
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise LabUnavailable(f"the requirements could not be installed in {root.name}: {last}")
