"""The wheel, installed by itself and used from an empty folder: what a checkout has beside the code is in it."""

import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).parents[2]


def run(*words: str | Path, **options: Any) -> str:
    """Run a command that must succeed and return what it printed."""
    done = subprocess.run(
        [str(word) for word in words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, check=False, timeout=100, **options,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from the checkout, with nothing fetched."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel"]
    run(*pip, "--no-index", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, REPOSITORY)
    (built,) = folder.glob("callgate-*.whl")
    return built


@pytest.fixture(scope="module")
def program(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``callgate`` of an environment of its own. What callgate stands on is that of this environment."""
    home = tmp_path_factory.mktemp("home") / "venv"
    run(sys.executable, "-m", "venv", "--without-pip", home)
    python = home / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", python, "install"]
    run(*pip, "--no-index", "--no-deps", wheel)
    site = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    # A path in a .pth file is taken as it is: what that folder's own .pth files name, as this checkout, is not there.
    (site / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return home / "bin" / "callgate"


@pytest.fixture
def callgate(program: Path, tmp_path: Path) -> Any:
    """Runs it in an empty folder, with an environment that names no other code and no config."""
    environment = {name: os.environ[name] for name in ("PATH", "LANG", "HOME") if name in os.environ}
    return lambda *words: run(program, *words, cwd=tmp_path, env=environment)


def test_every_shipped_file_is_in_it(wheel: Path) -> None:
    """All that git knows below config/, and of the code what is no Python: Lua, pages, words; not the site's pages."""
    with zipfile.ZipFile(wheel) as archive:
        inside = set(archive.namelist())
    git = ("git", "ls-files", "--cached", "config", "gateway", "rating", ":!gateway/docs")
    known = [name for name in run(*git, cwd=REPOSITORY).splitlines() if (REPOSITORY / name).exists()]
    assert len(known) > 300
    assert {f"gateway/{name}" if name.startswith("config/") else name for name in known} <= inside
    assert "gateway/config/asterisk/extensions-callgate.conf" in inside


def test_what_git_does_not_know_is_not_in_it(wheel: Path) -> None:
    """A file of an admin's own in config/ may hold a secret: only what is shipped is taken."""
    with zipfile.ZipFile(wheel) as archive:
        inside = {name.removeprefix("gateway/") for name in archive.namelist() if name.startswith("gateway/config/")}
    assert inside <= set(run("git", "ls-files", "config", cwd=REPOSITORY).splitlines())
    assert inside


def test_it_runs_without_a_checkout(callgate: Any, tmp_path: Path, program: Path) -> None:
    """Version, a config that passes the check, and the demo with its ledger and its books."""
    assert callgate("--version").startswith("callgate ")
    words = ("--pbx", "127.0.0.1", "--country", "US", "--currency", "USD", "--tenant", "acme")
    assert str(program.parents[1] / "lib") in callgate("init", *words)
    assert callgate("check").splitlines()[0] == "The config is right: 1 tenant, 1 switch."
    assert callgate("schema", "tenant") == (tmp_path / "config/schema/tenant.json").read_text()
    assert "The books hold: the ledger, the records" in callgate("demo", "--for", "3")
