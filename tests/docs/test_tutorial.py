"""The tutorial and the README, done as they stand: in a fresh clone with a virtual environment of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.blocks import blocks_of
from tests.docs.clone import fresh_clone
from tests.docs.reader import Reader
from tests.docs.terminal import Terminal
from tests.lab.build import REPOSITORY, missing

pytestmark = pytest.mark.lab

PAGES = REPOSITORY / "gateway/docs/pages"
# `make test` is what runs this.
NOT_RUN = frozenset({"make test"})


@pytest.fixture(scope="module", autouse=True)
def _lab() -> None:
    """The lab's Asterisk; without it these are skipped, or fail where it is required."""
    mode = os.environ.get("CALLGATE_LAB", "auto")
    problem = "the lab is switched off (CALLGATE_LAB=off)" if mode == "off" else missing()
    if problem is not None and mode == "required":
        pytest.fail(f"the lab is required (CALLGATE_LAB=required) but {problem}", pytrace=False)
    if problem is not None:
        pytest.skip(problem)


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh clone, without a virtual environment."""
    return fresh_clone(tmp_path_factory.mktemp("fresh") / "callgate")


@pytest.fixture
def at_home(clone: Path) -> Iterator[Reader]:
    """A reader on this machine, which has the network that an installation needs."""
    reader = Reader(lambda: Terminal(clone), NOT_RUN)
    yield reader
    reader.close()


def on_a_machine(clone: Path, folder: Path, page: Path, *sections: str) -> None:
    """Read these sections on a machine with an Asterisk of its own (`tests.docs.stage`)."""
    done = subprocess.run(
        ["unshare", "--mount", "--net", sys.executable, "-m", "tests.docs.stage", clone, folder, page, *sections],
        cwd=REPOSITORY, capture_output=True, text=True, timeout=250, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{done.stdout[-8000:]}\n{done.stderr[-4000:]}"
    print(done.stdout)


def sections_of(page: Path) -> list[str]:
    """Those that have blocks, in order."""
    return list(dict.fromkeys(block.section for block in blocks_of(page)))


def test_the_tutorial_does_what_it_says(clone: Path, at_home: Reader, tmp_path: Path) -> None:
    """From the demo to the audit: each command succeeds, and prints what the page shows."""
    page = PAGES / "tutorial.md"
    demo, *rest = sections_of(page)
    at_home.read(page, [block for block in blocks_of(page) if block.section == demo])
    on_a_machine(clone, tmp_path / "machine", page, *rest)


def test_the_readme_does_what_it_says(clone: Path, at_home: Reader, tmp_path: Path) -> None:
    """Its two commands (but for the tests, which are these), then the lines that gate a PBX."""
    page = clone / "README.md"
    two, gate = sections_of(page)
    at_home.read(page, [block for block in blocks_of(page) if block.section == two])
    on_a_machine(clone, tmp_path / "machine", page, gate)


def test_the_french_tutorial_has_the_same_blocks() -> None:
    """Each block stands in both, in the same order, to the letter."""
    english, french = (
        [(block.kind, block.title, block.text) for block in blocks_of(PAGES / name)]
        for name in ("tutorial.md", "tutorial.fr.md")
    )
    assert len(english) > 20
    assert french == english
