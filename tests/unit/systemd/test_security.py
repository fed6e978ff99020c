"""How exposed the shipped unit is, by systemd's own judgement."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

SYSTEMD = Path(__file__).parents[3] / "config" / "systemd"
_FIGURE = re.compile(r"`systemd-analyze\s+security --offline=true callgate\.service` gives it (\d+\.\d)")


def test_the_unit_is_no_more_exposed_than_its_readme_says() -> None:
    """0 is best, 10 is worst; the figure of systemd 252, where others may judge a little otherwise."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("there is no systemd-analyze here")
    words = ["systemd-analyze", "security", "--offline=true", "--no-pager", str(SYSTEMD / "callgate.service")]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if "unrecognized option" in done.stderr:
        pytest.skip("this systemd-analyze looks at no file (before systemd 250)")
    assert done.returncode == 0, done.stderr
    judged = re.search(r"Overall exposure level for callgate\.service: (\d+\.\d)", done.stdout)
    told = _FIGURE.search((SYSTEMD / "README.md").read_text())
    assert judged is not None
    assert told is not None
    version = subprocess.run(["systemd-analyze", "--version"], capture_output=True, text=True, check=True).stdout
    leeway = 0.0 if version.startswith("systemd 252 ") else 0.5
    assert float(judged[1]) <= float(told[1]) + leeway
