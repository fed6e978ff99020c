"""The Debian package, built and installed by dpkg over a copy-on-write view of this machine: nothing of it stays."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
ROOT_PATH = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
# $1 the package, $2 an empty folder, $3 what to run in there.
OVER_THIS_MACHINE = """
set -eu
mount --make-rprivate /
mount -t tmpfs tmpfs "$2"
mkdir "$2/upper" "$2/work" "$2/root"
mount -t overlay overlay -o lowerdir=/,upperdir="$2/upper",workdir="$2/work" "$2/root"
mount -t proc proc "$2/root/proc"
mount --rbind /dev "$2/root/dev"
mount -t tmpfs tmpfs "$2/root/run"
cp "$1" "$2/root/callgate.deb"
chroot "$2/root" sh -euc "$3"
"""
# As config/systemd/README.md has it.
FIRST_STEPS = """
cd /
dpkg -i /callgate.deb
callgate --version
callgate init /etc/callgate --pbx 127.0.0.1 --country US --currency USD --tenant acme
chown -R root:callgate /etc/callgate
chmod -R u=rwX,g=rX,o= /etc/callgate
install -d -o callgate /var/lib/callgate
setpriv --reuid callgate --regid callgate --clear-groups callgate check --config /etc/callgate
setpriv --reuid callgate --regid callgate --clear-groups callgate topup acme 25.00 --config /etc/callgate
test -f /usr/lib/systemd/system/callgate.service
dpkg -r callgate
test ! -e /usr/bin/callgate
test -f /var/lib/callgate/redis/appendonlydir/appendonly.aof.manifest
"""


def why_not() -> str:
    """Why it cannot be tried here; empty: it can."""
    if os.geteuid() != 0 or not all(map(shutil.which, ("dpkg-deb", "unshare", "setpriv"))):
        return "it takes root and dpkg"
    if not (REPOSITORY / ".venv/bin/python").exists():
        return "there is no .venv in the checkout"
    code = "import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))"
    if subprocess.run(["/usr/bin/python3", "-c", code], capture_output=True, check=False).returncode != 0:
        return "the system's own Python is older than 3.11, or has no venv"
    options = "lowerdir=/,upperdir=/mnt/u,workdir=/mnt/w"
    overlay = f"mount -t tmpfs t /mnt && mkdir /mnt/u /mnt/w && mount -t overlay o -o {options} /mnt"
    tried = subprocess.run(["unshare", "--mount", "sh", "-c", overlay], capture_output=True, check=False)
    return "" if tried.returncode == 0 else "this kernel lays no file system over another"


@pytest.mark.full
@pytest.mark.timeout(900)
def test_it_is_installed_used_and_removed(tmp_path: Path) -> None:
    """With a user of its own, to whom the first config and the books belong; removed, the books stay."""
    if reason := why_not():
        pytest.skip(reason)
    built = subprocess.run([REPOSITORY / "requirements/deb"], capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    package = REPOSITORY / built.stdout.strip()
    unshare = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", OVER_THIS_MACHINE, "sh"]
    words = [*unshare, str(package), str(tmp_path), FIRST_STEPS]
    done = subprocess.run(words, capture_output=True, text=True, env=ROOT_PATH, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "The config is right: 1 tenant, 1 switch." in done.stdout
    assert "acme: 25.00 USD added" in done.stdout
