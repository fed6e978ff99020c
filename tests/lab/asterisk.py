"""One running Asterisk of the lab: its own folders and loopback ports, so that several can run at once."""

from __future__ import annotations

import csv
import os
import re
import secrets
import shutil
import signal
import socket
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Self

from tests.lab import process
from tests.lab.ami_probe import AmiProbe
from tests.lab.build import REPOSITORY, asterisk_version

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator, Mapping, Sequence

SHIPPED = REPOSITORY / "config/asterisk"
TEMPLATES = Path(__file__).parent / "etc"

# Loaded in this order; what a module requires is loaded with it. res_speech before res_agi, for who adds res_agi.
MODULES = (
    "res_timing_timerfd", "res_sorcery_config", "res_sorcery_memory", "res_sorcery_astdb",
    "res_pjproject", "res_pjsip", "res_pjsip_session", "res_pjsip_pubsub",
    "res_pjsip_endpoint_identifier_ip", "res_pjsip_caller_id", "res_pjsip_sdp_rtp",
    "res_pjsip_dtmf_info", "res_pjsip_diversion", "res_pjsip_rfc3326", "res_pjsip_logger",
    "res_rtp_asterisk", "chan_pjsip", "codec_ulaw", "format_pcm",
    "bridge_simple", "bridge_native_rtp", "bridge_builtin_features", "bridge_builtin_interval_features",
    "func_callerid", "func_cdr", "func_channel", "func_cut", "func_dialplan", "func_global", "func_hangupcause",
    "func_groupcount", "func_logic", "func_rand", "func_strings", "func_timeout",
    "app_dial", "app_exec", "app_playback", "app_playtones", "app_stack", "app_senddtmf", "app_userevent",
    "app_verbose", "cdr_csv", "pbx_config",
)  # fmt: skip

PHONES = {
    "acme": "127.0.1.1",
    "globex": "127.0.1.2",
    "initech": "127.0.1.3",
    "mobile": "127.0.1.4",
    "desk": "127.0.1.5",
    "carrier": "127.0.2.1",  # calls that come in
    "open": "127.0.1.9",
    "sloppy": "127.0.1.10",
    "plain": "127.0.1.11",
    # One for each phase that a fault can meet a call in (tests/lab/faults).
    "asking": "127.0.1.21",
    "ringing": "127.0.1.22",
    "answered": "127.0.1.23",
    "extending": "127.0.1.24",
    "final": "127.0.1.25",
    "hanging-up": "127.0.1.26",
}
CARRIER_ADDRESS = "127.0.2.1"

# The fields of cdr_csv's Master.csv, in its order, with loguniqueid and loguserfield.
_CDR_FIELDS = (
    "accountcode", "src", "dst", "dcontext", "clid", "channel", "dstchannel", "lastapp", "lastdata", "start",
    "answer", "end", "duration", "billsec", "disposition", "amaflags", "uniqueid", "userfield",
)  # fmt: skip


@dataclass(frozen=True)
class Cdr:
    """One row of Asterisk's own call records; times in epoch seconds, None where there is none."""

    accountcode: str
    src: str
    dst: str
    dcontext: str
    channel: str
    dstchannel: str
    start: float | None
    answer: float | None
    end: float | None
    duration_seconds: int
    billsec: int
    disposition: str
    uniqueid: str


def _epoch(text: str) -> float | None:
    return datetime.strptime(text, "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC).timestamp() if text else None


class Asterisk:
    """Start, stop, freeze and look into one Asterisk."""

    def __init__(
        self,
        root: Path,
        *,
        extra_modules: Sequence[str] = (),
        log_levels: str = "notice,warning,error,verbose",
        files: Mapping[str, str | None] | None = None,
    ) -> None:
        """Pick ports and secrets; nothing runs yet.

        Args:
            root: the built folder.
            extra_modules: names of further modules to load, without `.so`.
            log_levels: what the full log holds; leave out `verbose` under load.
            files: texts that stand in for files of the configuration, by name; None leaves the file out.
        """
        self.root = root
        self.name = f"{os.getpid()}-{secrets.token_hex(3)}"
        self.inside = Path("/srv") / self.name
        self.dir = root / "srv" / self.name
        self.sip_port = process.free_port(socket.SOCK_DGRAM)
        self.ami_port = process.free_port(socket.SOCK_STREAM)
        self.carrier_port = process.free_port(socket.SOCK_DGRAM, CARRIER_ADDRESS)
        self.desk_port = process.free_port(socket.SOCK_DGRAM, PHONES["desk"])
        self.secret = secrets.token_hex(16)
        self.probe_secret = secrets.token_hex(16)
        self._modules = (*MODULES, *extra_modules)
        self._files = dict(files or {})
        self._log_levels = log_levels
        self.prefix: Sequence[str] = ()  # words before its command, as `env` has them; its paths begin at the root
        self._process: subprocess.Popen[bytes] | None = None
        self._probe: AmiProbe | None = None

    # -- files

    def _write_files(self) -> None:
        for folder in ("etc", "cache", "lib", "spool", "run", "log/cdr-csv"):
            (self.dir / folder).mkdir(parents=True, exist_ok=True)
        start, end = process.rtp_range()
        modules = next((self.root / "usr/lib").glob("**/asterisk/modules"))
        values = {
            "DIR": str(self.inside),
            "MODULES": "/" + str(modules.relative_to(self.root)),
            "LOADS": "\n".join(f"load = {each}.so" for each in self._modules),
            "LOG_LEVELS": self._log_levels,
            "SIP_PORT": str(self.sip_port),
            "AMI_PORT": str(self.ami_port),
            "CARRIER_PORT": str(self.carrier_port),
            "DESK_PORT": str(self.desk_port),
            "PROBE_SECRET": self.probe_secret,
            "RTP_START": str(start),
            "RTP_END": str(end),
        }
        for template in TEMPLATES.glob("*.conf"):
            text = template.read_text()
            for key, value in values.items():
                text = text.replace(f"@{key}@", value)
            (self.dir / "etc" / template.name).write_text(text)
        # The very files that an admin installs; the secret has a file of its own by design.
        for shipped in SHIPPED.glob("*.conf"):
            shutil.copyfile(shipped, self.dir / "etc" / shipped.name)
        features = self.dir / "etc/features.conf"
        features.write_text(with_known_features(features.read_text(), self.root))
        if not knows_new_filters(self.version()):
            manager = self.dir / "etc/manager-callgate.conf"
            manager.write_text(with_old_filters(manager.read_text()))
        (self.dir / "silence.ulaw").write_bytes(b"\xff" * 800)
        (self.dir / "etc/callgate-secret.conf").write_text(f"secret = {self.secret}\n")
        for name, stand_in in self._files.items():
            if stand_in is None:
                (self.dir / "etc" / name).unlink()
            else:
                (self.dir / "etc" / name).write_text(stand_in)

    # -- life

    def start(self, boot_timeout_seconds: float = 20) -> Self:
        """Start it and wait until it is fully booted.

        :raises RuntimeError: with the end of its log when it does not come up.
        """
        _sweep(self.root / "srv")
        self._write_files()
        self._process = process.spawn(
            [
                "chroot", str(self.root), *self.prefix,
                "/usr/sbin/asterisk", "-f", "-C", f"{self.inside}/etc/asterisk.conf",
            ],
            self.dir / "log/console",
        )  # fmt: skip
        try:
            self._probe = process.wait_for(self._try_login, boot_timeout_seconds, "a manager login")
            self._probe.wait_event("FullyBooted", 20)
        except BaseException as problem:
            log = self.logs()
            self.stop()
            raise RuntimeError(f"Asterisk did not come up: {problem}\n{log}") from problem
        return self

    def _try_login(self) -> AmiProbe | None:
        if self._process is None or self._process.poll() is not None:
            raise RuntimeError("Asterisk ended while it was starting")
        try:
            return self.connect()
        except (ConnectionError, TimeoutError):
            return None

    def restart(self) -> None:
        """Start again, on the same ports and folders, after a kill."""
        self._close_probe()
        self.start()

    def stop(self) -> None:
        """End it (however it is doing) and remove its folder."""
        self._close_probe()
        if self._process is not None:
            process.end(self._process)
            self._process = None
        shutil.rmtree(self.dir, ignore_errors=True)

    def _close_probe(self) -> None:
        if self._probe is not None:
            self._probe.close()
            self._probe = None

    @property
    def pid(self) -> int:
        """The process id of the running Asterisk."""
        assert self._process is not None, "not started"
        return self._process.pid

    def kill(self) -> None:
        """Kill -9, and wait until it is gone."""
        os.kill(self.pid, signal.SIGKILL)
        assert self._process is not None
        self._process.wait(5)

    def freeze(self) -> None:
        """SIGSTOP, and wait until every thread stands still."""
        os.kill(self.pid, signal.SIGSTOP)
        process.wait_for(lambda: process.stopped(self.pid), 5, "all threads of Asterisk stopped")

    def thaw(self) -> None:
        """SIGCONT."""
        os.kill(self.pid, signal.SIGCONT)

    def cpu_seconds(self) -> float:
        """CPU used so far, user and system."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    # -- looking in

    def version(self) -> str:
        """What ran."""
        return asterisk_version(self.root)

    @property
    def probe(self) -> AmiProbe:
        """The tests' own manager session, which sees everything."""
        assert self._probe is not None, "not started"
        return self._probe

    @contextmanager
    def no_manager(self) -> Iterator[None]:
        """Run a block while the tests' own session is gone too."""
        self._close_probe()
        try:
            yield
        finally:
            self._probe = self.connect()

    def connect(self, *, events: str = "on") -> AmiProbe:
        """One more session of the tests' own user."""
        return AmiProbe(self.ami_port, "probe", self.probe_secret, events=events)

    def connect_service(self, *, events: str = "on") -> AmiProbe:
        """A session of the user that config/asterisk ships for the gateway."""
        return AmiProbe(self.ami_port, "callgate", self.secret, events=events)

    def cli(self, command: str) -> str:
        """Output of a CLI command."""
        return self.probe.cli(command)

    def set_global(self, name: str, value: str) -> None:
        """Set a dialplan global of the running PBX."""
        self.probe.action("Setvar", Variable=name, Value=value)

    def channels(self) -> list[str]:
        """Names of the live channels."""
        lines = self.cli("core show channels concise").splitlines()
        return [line.split("!")[0] for line in lines if "!" in line]

    def wait_idle(self, timeout_seconds: float = 5.0) -> None:
        """Wait until no channel is left."""
        try:
            process.wait_for(lambda: not self.channels(), timeout_seconds, "no channels")
        except TimeoutError as problem:
            raise TimeoutError(f"{problem}\n{self.cli('core show channels verbose')}\n{self.logs(60)}") from None

    def cdrs(self) -> list[Cdr]:
        """All rows of Master.csv."""
        path = self.dir / "log/cdr-csv/Master.csv"
        if not path.exists():
            return []
        with path.open(newline="", encoding="utf-8", errors="surrogateescape") as handle:
            rows = [dict(zip(_CDR_FIELDS, row, strict=False)) for row in csv.reader(handle)]
        return [_cdr(row) for row in rows]

    def logs(self, lines: int = 200) -> str:
        """The end of its own log and of its console."""
        parts = []
        for name in ("console", "full"):
            path = self.dir / "log" / name
            if path.exists():
                tail = path.read_text(errors="replace").splitlines()[-lines:]
                parts.append(f"--- asterisk {name}\n" + "\n".join(tail))
        return "\n".join(parts)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()


def knows_new_filters(version: str) -> bool:
    """Whether ``eventfilter(...)`` is known: in a series from one release on (config/asterisk/README.md, *Versions*).

    ``version``: as ``asterisk -V`` says it.
    """
    found = re.search(r"(\d+)\.(\d+)", version)
    assert found is not None, version
    series, release = int(found[1]), int(found[2])
    return release >= {18: 26, 20: 11, 21: 6, 22: 1}.get(series, 0 if series > 22 else 1_000_000)


def with_known_features(text: str, root: Path) -> str:
    """features.conf for an Asterisk that may be older: it takes nothing of one with an option that it does not know."""
    option = "transferannouncesound"
    if option.encode() in (root / "usr/sbin/asterisk").read_bytes():
        return text
    return re.sub(rf"^{option} = .*\n", "", text, flags=re.MULTILINE)


def with_old_filters(text: str) -> str:
    """manager-callgate.conf as an admin edits it for an older Asterisk: the one form off, the other on."""
    text = re.sub(r"^eventfilter\(", r"; \g<0>", text, flags=re.MULTILINE)
    return re.sub(r"^; (eventfilter = )", r"\1", text, flags=re.MULTILINE)


def _sweep(folder: Path) -> None:
    """Remove folders of instances whose test run was killed."""
    for each in folder.glob("*-*"):
        owner = each.name.partition("-")[0]
        if owner.isdigit() and not process.alive(int(owner)):
            shutil.rmtree(each, ignore_errors=True)


def _cdr(row: dict[str, str]) -> Cdr:
    return Cdr(
        accountcode=row["accountcode"], src=row["src"], dst=row["dst"], dcontext=row["dcontext"],
        channel=row["channel"], dstchannel=row["dstchannel"],
        start=_epoch(row["start"]), answer=_epoch(row["answer"]), end=_epoch(row["end"]),
        duration_seconds=int(row["duration"]), billsec=int(row["billsec"]),
        disposition=row["disposition"], uniqueid=row["uniqueid"],
    )  # fmt: skip
