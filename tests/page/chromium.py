"""Installs Chromium by apt where it is not there (root): ``python -m tests.page.chromium``."""

import sys

from tests.lab.build import LabUnavailable, install_tools

from .browser import found


def install(*more: str) -> None:
    """Have Chromium, and what else is named (a tool is its own package). Raises LabUnavailable."""
    if found() is None:
        install_tools({"chromium": "chromium fonts-liberation"})
    install_tools({tool: tool for tool in more})


def main() -> None:
    """Install it, or say plainly what is missing."""
    try:
        install()
    except LabUnavailable as error:
        sys.exit(f"Chromium: {error}")


if __name__ == "__main__":
    main()
