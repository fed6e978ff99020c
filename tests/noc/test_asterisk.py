"""Asterisk's own figures, from a real one that is set up as config/grafana/README.md says."""

from __future__ import annotations

import re
import socket
import urllib.request
from typing import TYPE_CHECKING

import pytest

from tests.lab import process
from tests.lab.asterisk import Asterisk
from tests.lab.conftest import lab_root  # noqa: F401 # a fixture
from tests.noc.dashboards import asterisk
from tests.noc.dashboards.grafana import FOLDER

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.lab

SAID = (FOLDER.parent / "README.md").read_text("utf-8")
OF_THE_SCRAPE = {"switch"}
OF_A_REGISTRATION = "asterisk_pjsip_outbound_registration_status"  # the lab's Asterisk registers nowhere


def test_the_figures_of_a_real_asterisk_are_those_that_panels_ask_for(lab_root: Path) -> None:  # noqa: F811
    """Set up by the README's lines, res_prometheus tells each metric that the rows name, with those labels."""
    port = process.free_port(socket.SOCK_STREAM)
    written = re.findall(r"(\[general\]) +; (\S+)\n((?:.+\n)+?)```", SAID)
    files = {name: f"{head}\n{lines.replace('8088', str(port))}" for head, name, lines in written}
    assert set(files) == {"http.conf", "prometheus.conf"}
    with Asterisk(lab_root, extra_modules=["res_prometheus"], files=files):
        page = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5).read().decode()
    told = {
        name: {*re.findall(r'(\w+)="', labels), *OF_THE_SCRAPE}
        for name, labels in re.findall(r"(?m)^(\w+)\{(.*)\} ", page)
    }
    wanted = {name: set(labels) for name, labels in asterisk.METRICS.items() if name != OF_A_REGISTRATION}
    assert {name: told.get(name) for name in wanted} == wanted
