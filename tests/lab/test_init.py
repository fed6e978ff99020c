"""What `callgate init` writes, as it is, on a real Asterisk: the files of the PBX, and the config."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.lab.ami_probe import one
from tests.lab.asterisk import Asterisk
from tests.lab.gateway import CALLGATE, MICROS, GatewayProcess

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.lab.conftest import MakeCarrier, MakePhone

pytestmark = pytest.mark.lab

NUMBER = "18005551212"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A config folder for a site in the US."""
    folder = tmp_path_factory.mktemp("site") / "config"
    words = ["--pbx", "127.0.0.1", "--country", "US", "--currency", "USD", "--tenant", "acme"]
    subprocess.run([CALLGATE, "init", folder, *words], check=True, stdout=subprocess.DEVNULL)
    return folder


@pytest.fixture(scope="module")
def running_asterisk(lab_root: Path, written: Path) -> Iterator[Asterisk]:
    """An Asterisk into which the files were copied."""
    files = {file.name: file.read_text() for file in (written / "asterisk").iterdir()}
    with Asterisk(lab_root, files=files) as asterisk:
        yield asterisk


class WrittenGateway(GatewayProcess):
    """callgate with the config as it was written, but for the ports of this machine."""

    def write_config(self) -> None:
        """Only the ports are changed."""
        file = self.config / "gateway.toml"
        text = file.read_text()
        for line, port in (("# port = 5038", self._switches[0][0]), ("# port = 9464", self.http_port)):
            assert text.count(f"{line}\n") == 1
            text = text.replace(f"{line}\n", f"port = {port}\n")
        file.write_text(text)


@pytest.fixture
def gate(asterisk: Asterisk, written: Path) -> Iterator[GatewayProcess]:
    """The gateway, logged in and with its embedded ledger."""
    gateway = WrittenGateway(written.parent, asterisk, "").start()
    yield gateway
    gateway.stop()


def test_a_call_is_gated_and_paid_for(gate: GatewayProcess, carrier: MakeCarrier, phone: MakePhone) -> None:
    """It is refused before the top-up, and charged by the example's prices after it: 30 s at 0.02 a minute."""
    far = carrier(talk_ms=300)
    assert one(phone(NUMBER).wait()).status == 403
    assert far.calls == []
    gate.top_up("acme", "5.00")
    assert one(phone(NUMBER).wait()).status == 200
    record = next(row for row in gate.closed(2) if row["outcome"] == "settled")
    assert (record["tenant"], record["e164"]) == ("acme", f"+{NUMBER}")
    assert gate.balance("acme")["balance_micros"] == 5 * MICROS - MICROS // 100
