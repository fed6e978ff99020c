"""A real Prometheus and a real Alertmanager with what config/prometheus ships: Debian's packages, unpacked in the lab.

Their files are used as they are, but for ports and for time: ``factor`` makes each interval, range and ``for`` so many
times shorter, all by the same, so that a minute of a rule is some seconds of a test.
"""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any, Self

from tests.lab import process
from tests.lab.build import LabUnavailable
from tests.lab.packages import unpacked

SHIPPED = Path(__file__).resolve().parents[2] / "config/prometheus"
RULES = ("recording.yml", "alerts.yml")
DEBIAN = ("prometheus", ("prometheus", "prometheus-alertmanager"))
# Debian's Alertmanager reads its templates from /usr/share/prometheus, wherever it was unpacked: it sees that in a
# mount namespace of its own.
_AT_HOME = ("unshare", "--mount", "--map-root-user", "sh", "-c", 'mount --bind "$0" /usr/share && exec "$@"')
_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_DURATION = re.compile(r"(\[|offset |(?:interval|timeout|wait|for): )(\d+)(ms|s|m|h|d)\b")


def program(name: str) -> str:
    """``prometheus``, ``promtool``, ``prometheus-alertmanager`` or ``amtool``, fetched at the first call.

    :raises LabUnavailable: with what is missing.
    """
    file = unpacked(*DEBIAN) / "usr/bin" / name
    if not file.exists():
        raise LabUnavailable(f"the {DEBIAN[0]} of this machine's apt comes without {name}")
    return str(file)


def tool(name: str, *arguments: str | Path) -> str:
    """What promtool or amtool prints; an AssertionError with it when it finds fault."""
    done = subprocess.run([program(name), *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def shorter(text: str, factor: float) -> str:
    """The same config or rules in a time that goes faster."""
    return _DURATION.sub(lambda found: f"{found[1]}{max(1, round(int(found[2]) * _MS[found[3]] / factor))}ms", text)


class _Server:
    """One of them, on a port of loopback: ``with`` starts and ends it."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        self.port = process.free_port(socket.SOCK_STREAM)
        self.url = f"http://127.0.0.1:{self.port}"
        self._name = name
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)

    def _arguments(self) -> list[str]:
        raise NotImplementedError

    def __enter__(self) -> Self:
        """Start it, and wait until it is ready."""
        command = [*_AT_HOME, str(unpacked(*DEBIAN) / "usr/share"), program(self._name), *self._arguments()]
        self._process = process.spawn(command, self.folder / "server.log")
        process.wait_for(self._is_ready, 20, f"readiness of {self._name}: {self.folder}/server.log")
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        process.end(self._process, polite=signal.SIGTERM)

    def _is_ready(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise AssertionError(f"{self._name} ended: {(self.folder / 'server.log').read_text()[-3000:]}")
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=2) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False

    def ask(self, path: str, **parameters: str) -> Any:
        """Its HTTP API."""
        with urllib.request.urlopen(f"{self.url}{path}?{urllib.parse.urlencode(parameters)}", timeout=10) as answer:
            return json.load(answer)


class Prometheus(_Server):
    """With prometheus.yml and the rules as shipped, scraping ``gateway`` (host:port)."""

    def __init__(self, folder: Path, gateway: str, factor: float = 1, alertmanager: str = "") -> None:
        super().__init__(folder, "prometheus")
        config = (SHIPPED / "prometheus.yml").read_text()
        ports = {"9464": gateway, "9090": f"127.0.0.1:{self.port}", "9093": alertmanager or "127.0.0.1:9"}
        for port, address in ports.items():
            assert f"127.0.0.1:{port}" in config
            config = config.replace(f"127.0.0.1:{port}", address)
        (folder / "prometheus.yml").write_text(shorter(config, factor))
        for name in RULES:
            (folder / name).write_text(shorter((SHIPPED / name).read_text(), factor))

    def _arguments(self) -> list[str]:
        return [
            f"--config.file={self.folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={self.folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
        ]

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The samples of an expression, now."""
        result = self.ask("/api/v1/query", query=expression)["data"]
        return [result] if result["resultType"] in {"scalar", "string"} else list(result["result"])

    def rules(self) -> list[dict[str, Any]]:
        """All rules, as it has read them."""
        return [rule for group in self.ask("/api/v1/rules")["data"]["groups"] for rule in group["rules"]]


class Alertmanager(_Server):
    """With alertmanager.yml as shipped, but that what it tells goes to ``receiver`` (host:port)."""

    def __init__(self, folder: Path, receiver: str, factor: float = 1) -> None:
        super().__init__(folder, "prometheus-alertmanager")
        config = (SHIPPED / "alertmanager.yml").read_text()
        assert "127.0.0.1:9099" in config
        config = config.replace("127.0.0.1:9099", receiver)
        (folder / "alertmanager.yml").write_text(shorter(config, factor))

    @property
    def address(self) -> str:
        """Where Prometheus finds it."""
        return f"127.0.0.1:{self.port}"

    def _arguments(self) -> list[str]:
        return [
            f"--config.file={self.folder / 'alertmanager.yml'}",
            f"--storage.path={self.folder / 'data'}",
            f"--web.listen-address={self.address}",
            "--cluster.listen-address=",  # alone
        ]

    def tell(self, alerts: list[dict[str, Any]]) -> None:
        """Say that these fire, as Prometheus would."""
        request = urllib.request.Request(
            f"{self.url}/api/v2/alerts", json.dumps(alerts).encode(), {"Content-Type": "application/json"}
        )
        urllib.request.urlopen(request, timeout=10).close()
