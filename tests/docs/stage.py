"""``python -m tests.docs.stage CLONE FOLDER PAGE SECTION…``: these sections of a page, read on a machine of their own.

The machine has what a page names: ``/etc`` and ``/var/lib`` to write to, ``/etc/asterisk`` and ``asterisk -rx`` of a
running Asterisk with a trunk, the ports of its own loopback. All of it is in namespaces of this process, which whoever
starts it makes (``unshare --mount --net``), and nothing of the real machine is changed. ``FOLDER`` is where its files
are; in the clone a virtual environment is ready, since there is no network from here.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from tests.docs.blocks import blocks_of
from tests.docs.reader import Reader
from tests.docs.terminal import BlockFailed, Terminal
from tests.lab.asterisk import Asterisk
from tests.lab.build import find_root
from tests.lab.sipp import Carrier

AMI_PORT = 5038
MOST_SECONDS = 230  # less than who starts it waits
# An Asterisk that knows nothing of callgate yet: phones, a trunk, and a manager.
_EXTENSIONS = "[general]\nstatic = yes\n\n[globals]\n\n[lab-inbound]\nexten => _X,1,Hangup(1)\n"
_MANAGER = """[general]
enabled = yes
bindaddr = 127.0.0.1
port = 5038

[probe]
secret = {secret}
deny = 0.0.0.0/0.0.0.0
permit = 127.0.0.1/255.255.255.255
read = all
write = all
writetimeout = 5000

"""
_NOT_YET = (
    "extensions-callgate.conf", "callgate-local.conf", "manager-callgate.conf", "callgate-secret.conf",
    "manager-callgate-doctor.conf", "extensions-example.conf",
)  # fmt: skip
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1
_REQUEST = "16sh14x"


def loopback_up() -> None:
    """A network namespace begins with its loopback down."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        asked = fcntl.ioctl(any_socket, _SIOCGIFFLAGS, struct.pack(_REQUEST, b"lo", 0))
        flags = struct.unpack(_REQUEST, asked)[1]
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack(_REQUEST, b"lo", flags | _IFF_UP))


def mount(*words: str | Path) -> None:
    """Run ``mount``, in this process' own namespace."""
    subprocess.run(["mount", *map(str, words)], check=True)


def own_machine(folder: Path) -> None:
    """Let /etc and /var/lib be copies that may be written to, with a group of Asterisk's own."""
    mount("--make-rprivate", "/")
    shutil.copytree("/etc", folder / "etc", symlinks=True)
    (folder / "etc/asterisk").mkdir(exist_ok=True)
    shutil.rmtree(folder / "etc/callgate", ignore_errors=True)
    (folder / "lib").mkdir()
    groups = folder / "etc/group"
    if "\nasterisk:" not in groups.read_text():
        groups.write_text(f"{groups.read_text().rstrip()}\nasterisk:x:64998:\n")
    mount("--bind", folder / "etc", "/etc")
    mount("--bind", folder / "lib", "/var/lib")


def asterisk_command(folder: Path, root: Path, asterisk: Asterisk) -> Path:
    """A folder for the PATH with the ``asterisk`` of this machine."""
    programs = folder / "bin"
    programs.mkdir()
    command = programs / "asterisk"
    command.write_text(f'#!/bin/sh\nexec chroot "{root}" asterisk -C "{asterisk.inside}/etc/asterisk.conf" "$@"\n')
    command.chmod(0o755)
    return programs


def too_late(*_: object) -> None:
    """The time is over: end in order."""
    raise BlockFailed(f"the sections took more than {MOST_SECONDS} s")


def main() -> int:
    """Read the sections; exit code 1 and the block that failed, or 0 and what was done."""
    clone, folder, page = Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])
    blocks = [block for block in blocks_of(page) if block.section in sys.argv[4:]]
    assert {block.section for block in blocks} == set(sys.argv[4:]), "a section is not on the page, or has no block"
    root = find_root()
    assert root is not None, "the lab's Asterisk is not built"
    folder.mkdir()
    signal.signal(signal.SIGALRM, too_late)
    signal.alarm(MOST_SECONDS)
    loopback_up()
    own_machine(folder)
    without = dict.fromkeys(_NOT_YET) | {"extensions.conf": _EXTENSIONS}
    asterisk = Asterisk(
        root, extra_modules=["res_clioriginate"], files=without, log_levels="notice,warning,error,verbose"
    )
    asterisk.ami_port = AMI_PORT
    asterisk._files["manager.conf"] = _MANAGER.format(secret=asterisk.probe_secret)
    path = f"{asterisk_command(folder, root, asterisk)}:{os.environ['PATH']}"
    with asterisk:
        mount("--bind", asterisk.dir / "etc", "/etc/asterisk")
        reader = Reader(lambda: Terminal(clone, PATH=path))
        with Carrier(asterisk, folder):
            try:
                with closing(reader):  # also after a failure: what it began must not outlive it
                    reader.read(page, blocks)
            except BlockFailed as problem:
                print(f"{problem}\n\n{asterisk.logs(60)}")
                return 1
        subprocess.run(["umount", "/etc/asterisk"], check=True)
    print("\n".join(reader.done))
    return 0


if __name__ == "__main__":
    sys.exit(main())
