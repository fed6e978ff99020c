"""A right installation for the doctor: a PBX, a gateway and its books, each of which can be spoilt and mended."""

from __future__ import annotations

import json
import re
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typer.testing import CliRunner

from gateway.cli import app
from tests.lab.asterisk import SHIPPED, Asterisk, knows_new_filters
from tests.lab.gateway import Books, GatewayProcess, tenant_toml

if TYPE_CHECKING:
    from collections.abc import Iterator

DOCTOR_SECRET = "0123456789abcdef-doctor"
WAY_OUT = "exten => _1NXXNXXXXXX,1,Gosub(callgate,authorize,1(${FILTER(0-9+*#,${EXTEN})},))"
DIAL = "Dial(PJSIP/${CALLGATE_DIAL}@trunk,60,i${CALLGATE_DIAL_OPTS})"
EXTENSIONS = f"""
[general]
[globals]
[phones]
include => callgate-example
include => way-out
[lab-inbound]
exten => 18005550100,1,Gosub(callgate,authorize,1(${{FILTER(0-9+,${{EXTEN}})}},,,inbound))
 same => n,Dial(PJSIP/desk,30)
[way-out]
{WAY_OUT}
 same => n,{DIAL}
 same => n,Hangup(${{HANGUPCAUSE}})
[callgate-dialout-trunk]
exten => s,1,{DIAL}
 same => n,Hangup(${{HANGUPCAUSE}})
; The admin's own subroutine asks; it is nobody's extension.
[sub-out]
exten => s,1,Gosub(callgate,authorize,1(${{FILTER(0-9+*#,${{ARG1}})}},))
 same => n,GotoIf($["${{CALLGATE_DIAL}}" = ""]?none)
 same => n,Return()
 same => n(none),Hangup(21)
[by-subroutine]
exten => _9NXXXXXX,1,Gosub(sub-out,s,1(${{FILTER(0-9,${{EXTEN:1}})}}))
 same => n,{DIAL}
 same => n,Hangup(${{HANGUPCAUSE}})
#include extensions-example.conf
#include extensions-callgate.conf
"""
_RELOADS = {
    "extensions.conf": "dialplan reload",
    "extensions-callgate.conf": "dialplan reload",
    "callgate-local.conf": "dialplan reload",
    "manager.conf": "manager reload",
    "manager-callgate.conf": "manager reload",
    "callgate-secret.conf": "manager reload",
    "pjsip.conf": "module reload res_pjsip.so",
}


class DoctorLab:
    """All of it. ``spoilt`` changes files and mends them again."""

    def __init__(self, asterisk: Asterisk, gateway: GatewayProcess, books: Books, secret_file: Path) -> None:
        self.asterisk = asterisk
        self.gateway = gateway
        self.books = books
        self.etc = asterisk.dir / "etc"
        self.secret_file = secret_file

    def file(self, name: str) -> Path:
        """A file of the PBX, or of the gateway's config."""
        return self.gateway.config / name if name.endswith(".toml") else self.etc / name

    @contextmanager
    def spoilt(self, name: str, old: str, new: str, *, reload: bool = True) -> Iterator[None]:
        """Put a text in another's place; an empty one stands for the end of the file."""
        file = self.file(name)
        text = file.read_text()
        if name == "manager-callgate.conf" and not knows_new_filters(self.asterisk.version()):
            old, new = _older_form(old), _older_form(new)
        assert old in text, f"{name} has no {old}"
        file.write_text(text.replace(old, new, 1) if old else text + new)
        try:
            if reload:
                self.reload(name)
            yield
        finally:
            file.write_text(text)
            if reload:
                self.reload(name)

    def reload(self, name: str) -> None:
        """Let Asterisk read the file."""
        if name in _RELOADS:
            self.asterisk.cli(_RELOADS[name])

    def look(self, *words: str, with_doctor: bool = True) -> tuple[int, list[dict[str, Any]]]:
        """`callgate doctor --json`: its exit code and what it found."""
        key = ["--doctor-secret-file", str(self.secret_file)] if with_doctor else []
        done = self.run("--json", *key, *words)
        assert done.stdout, done.output
        return done.exit_code, json.loads(done.stdout)["findings"]

    def run(self, *words: str) -> Any:
        """`callgate doctor` with these words."""
        command = ["doctor", "--config", str(self.gateway.config), "--asterisk-etc", str(self.etc), *words]
        return CliRunner().invoke(app, command)


def _older_form(text: str) -> str:
    return re.sub(r"eventfilter\(name\((\w+)\),action\(include\)\) =", r"eventfilter = ^Event: \1[[:space:]]", text)


@contextmanager
def doctor_lab(root: Path, folder: Path) -> Iterator[DoctorLab]:
    """Start all of it, with nothing wrong."""
    local = (SHIPPED / "callgate-local.conf").read_text().replace("CALLGATE_WARNING = no", "CALLGATE_WARNING = yes")
    books = Books(folder / "books")
    with Asterisk(root, files={"extensions.conf": EXTENSIONS, "callgate-local.conf": local}) as asterisk:
        secret_file = asterisk.dir / "etc/callgate-doctor-secret.conf"
        secret_file.write_text(f"secret = {DOCTOR_SECRET}\n")
        manager = asterisk.dir / "etc/manager.conf"
        manager.write_text(manager.read_text() + "#tryinclude manager-callgate-doctor.conf\n")
        for name in ("manager.conf", "callgate-secret.conf", "manager-callgate.conf", "callgate-local.conf"):
            (asterisk.dir / "etc" / name).chmod(0o640)
        secret_file.chmod(0o640)
        asterisk.cli("manager reload")
        books.start()
        # WAITAOF of this Valkey answers early: only with this nothing can be lost.
        books.client.config_set("appendfsync", "always")
        gateway = GatewayProcess(
            folder, asterisk, books.url, {"acme": tenant_toml("acme")},
            more='trunks = ["PJSIP/trunk*"]\nconnect_timeout_ms = 1000\n[verdict]\ndeadline_ms = 2000',
        )  # fmt: skip
        (gateway.config / "gateway.toml").chmod(0o600)
        try:
            gateway.start()
            yield DoctorLab(asterisk, gateway, books, secret_file)
        finally:
            gateway.stop()
            books.close()
