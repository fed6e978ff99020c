"""The floor in a process of its own: a bare hook that lets every ask go on at once, and knows of no money.

Run as ``python -m tests.load.floor PORT SECRET_FILE``; it says "ready" and lives until it is ended.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from tests.lab.ami_probe import BareHook, allow

READY = "ready"
CAP_MS = 3_600_000


def main() -> None:
    """Answer asks until ended."""
    port, secret_file = sys.argv[1:]
    secret = Path(secret_file).read_text().partition("=")[2].strip()
    with BareHook(int(port), secret, allow(CAP_MS)):
        print(READY, flush=True)
        signal.pause()


if __name__ == "__main__":
    main()
