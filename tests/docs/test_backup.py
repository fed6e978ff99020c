"""A machine is lost and comes back with all its money; an upgrade finds the money of the version before."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.loss import CALLGATE, fill, write_config
from tests.lab.build import REPOSITORY
from tests.ledger import example

STORED = sorted((REPOSITORY / "tests/ledger").glob("books_v*.json"))
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="a machine of its own needs root (mount namespaces)")


@needs_root
def test_after_a_loss_the_books_are_restored_as_the_page_says(tmp_path: Path) -> None:
    """Balances and live calls are as before, and the audit finds nothing."""
    done = subprocess.run(
        ["unshare", "--mount", sys.executable, "-m", "tests.docs.loss", tmp_path / "machine"],
        cwd=REPOSITORY, capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    assert "callgate check" in done.stdout


@pytest.mark.parametrize("stored", STORED, ids=lambda file: file.stem)
def test_the_books_of_each_version_are_taken_over(tmp_path: Path, stored: Path) -> None:
    """The command line of this version proves them, and shows what they had."""
    books: example.Books = json.loads(stored.read_text("utf-8"))
    config, state = tmp_path / "config", tmp_path / "state"
    state.mkdir()
    write_config(config, state)
    asyncio.run(fill(state, books))
    audit = _run(config, "audit")
    assert audit.returncode == 0, audit.stdout + audit.stderr
    (row,) = json.loads(_run(config, "balance", "--json").stdout)
    account = books[f"cg:{{{example.TENANT}}}:account"]["content"]
    assert row["balance_micros"] == int(account["balance"])
    assert row["held_micros"] == int(account["held"])


def _run(config: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [str(CALLGATE / "callgate"), *words, "--config", str(config)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
