"""The doctor against an installation that is right, and against each of many that are not."""

from __future__ import annotations

import os
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.lab.ami_probe import AmiProbe
from tests.lab.doctor_cases import CASES, Case
from tests.lab.doctor_lab import DIAL, DOCTOR_SECRET, EXTENSIONS, DoctorLab, doctor_lab
from tests.lab.process import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def lab(lab_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DoctorLab]:
    """One for all: each test mends what it spoils."""
    with doctor_lab(lab_root, tmp_path_factory.mktemp("doctor")) as made:
        yield made


def worth(findings: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Without the notes."""
    return [each for each in findings if each["severity"] != "note"]


def test_a_right_installation_is_well(lab: DoctorLab) -> None:
    """With the doctor's user, and a gateway that answers: one line on standard output."""
    done = lab.run("--doctor-secret-file", str(lab.secret_file))
    assert (done.exit_code, done.stdout) == (0, "all is well\n"), done.output
    assert "Switch it off now" in done.stderr


def test_without_its_user_it_says_what_it_did_not_see(lab: DoctorLab) -> None:
    """And what it sees is right: that is no fault."""
    code, (told,) = lab.look(with_doctor=False)
    assert (code, told["severity"], told["check"]) == (0, "note", "unseen")
    assert "redirect_method, the hook" in told["what"]


def test_a_user_that_is_off_is_told_from_one_that_never_was(lab: DoctorLab) -> None:
    """Its file is gone and the manager read again, as the doctor says."""
    file = lab.etc / "manager-callgate-doctor.conf"
    aside = file.rename(file.with_suffix(".aside"))
    lab.asterisk.cli("manager reload")
    try:
        code, (told,) = lab.look()
    finally:
        aside.rename(file)
        lab.asterisk.cli("manager reload")
    assert code == 0
    assert "it may be off" in told["what"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_each_fault_is_named_with_its_place_and_remedy(lab: DoctorLab, case: Case) -> None:
    """And nothing else is."""
    ports = {"{ami_port}": str(lab.asterisk.ami_port), "{free_port}": str(free_port(socket.SOCK_STREAM))}
    old, new = case.old, case.new
    for word, port in ports.items():
        old, new = old.replace(word, port), new.replace(word, port)
    with lab.spoilt(case.file, old, new, reload=case.reload):
        code, findings = lab.look()
    found = worth(findings)
    assert sorted(each["check"] for each in found) == sorted(case.checks.split()), found
    first = next(each for each in found if each["check"] == case.checks.split()[0])
    assert case.where in first["where"]
    assert case.remedy in " ".join(each["remedy"] for each in found)
    assert (code, first["severity"]) == ((2, "error") if case.is_error else (1, "warning"))


def test_there_are_twenty_of_them_and_more() -> None:
    """Each spoils something else."""
    assert len({(case.file, case.old, case.new) for case in CASES}) == len(CASES) >= 20


def test_filters_that_are_missing_are_told_once(lab: DoctorLab) -> None:
    """Seen in the file, and by the events that come."""
    file = lab.file("manager-callgate.conf")
    text = file.read_text()
    file.write_text("\n".join(line for line in text.splitlines() if not line.startswith("eventfilter")) + "\n")
    lab.reload(file.name)
    try:
        code, findings = lab.look()
        file.write_text(text)  # not read yet: the PBX still works without
        _, unread = lab.look()
    finally:
        file.write_text(text)
        lab.reload(file.name)
    assert (code, [each["check"] for each in worth(findings)]) == (1, ["filter-missing"])
    (told,) = worth(unread)
    assert told["check"] == "filter-missing"
    assert "not in force" in told["what"]
    assert "manager reload" in told["remedy"]


@pytest.mark.parametrize("name", ["callgate-secret.conf", "gateway.toml"])
def test_a_secret_that_others_can_read(lab: DoctorLab, name: str) -> None:
    """On the PBX, where it is this machine, and in the config."""
    file = lab.file(name)
    mode = file.stat().st_mode
    file.chmod(0o644)
    code, findings = lab.look()
    file.chmod(mode)
    (told,) = worth(findings)
    assert name in told["where"]
    assert "chmod o-rwx" in told["remedy"]
    assert code > 0


def test_a_doctor_that_was_forgotten(lab: DoctorLab) -> None:
    """Its secret is days old, and still lets it in."""
    stat = lab.secret_file.stat()
    os.utime(lab.secret_file, (stat.st_atime, time.time() - 3 * 86_400))
    code, findings = lab.look()
    os.utime(lab.secret_file, (stat.st_atime, stat.st_mtime))
    (told,) = worth(findings)
    assert (code, told["check"]) == (1, "doctor-on")
    assert "remove manager-callgate-doctor.conf" in told["remedy"]


@pytest.mark.parametrize(
    ("setting", "value", "check", "remedy"),
    [
        ("maxmemory-policy", "allkeys-lru", "redis-memory", "noeviction"),
        ("appendonly", "no", "redis-durability", "appendonly yes"),
    ],
)
def test_books_that_could_be_lost(lab: DoctorLab, setting: str, value: str, check: str, remedy: str) -> None:
    """A server that evicts, and one that writes nothing."""
    was = lab.books.client.config_get(setting)[setting]
    lab.books.client.config_set(setting, value)
    code, findings = lab.look(with_doctor=False)
    lab.books.client.config_set(setting, was)
    (told,) = worth(findings)
    assert (code, told["check"]) == (2, check)
    assert remedy in told["remedy"]


def test_a_port_that_is_no_managers(lab: DoctorLab) -> None:
    """Something else answers there."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        def greet() -> None:
            peer, _ = server.accept()
            with peer:
                peer.sendall(b"220 \x1b[31mmail\r\n")

        thread = threading.Thread(target=greet)
        thread.start()
        with lab.spoilt("gateway.toml", f"port = {lab.asterisk.ami_port}", f"port = {port}"):
            code, findings = lab.look()
        thread.join()
    (told,) = worth(findings)
    assert (code, told["check"]) == (2, "ami")
    assert "something else listens" in told["remedy"]


def test_a_dialplan_that_takes_no_answer(lab: DoctorLab) -> None:
    """The gateway gives one, and so does the doctor; the digit has nowhere to go."""
    with lab.spoilt("extensions-callgate.conf", "exten => D,1,Set", "exten => E,1,Set"):
        code, findings = lab.look()
    assert code == 2
    assert [each["check"] for each in worth(findings)] == ["hook", "dialplan-old"]
    assert "took no answer" in findings[0]["what"]


def test_a_dialplan_that_does_not_ask(lab: DoctorLab) -> None:
    """No event comes out of it."""
    with lab.spoilt("extensions-callgate.conf", "UserEvent(CallGateAuthorize,", "NoOp(CallGateAuthorize,"):
        code, findings = lab.look()
    assert code == 2
    assert [each["check"] for each in worth(findings)] == ["hook", "dialplan-old"]
    assert "none came out" in findings[0]["what"]


def test_the_test_ask_moves_no_money_and_rings_nobody(lab: DoctorLab) -> None:
    """The gateway refuses it, no leg is dialled, and no books are opened."""
    mark = lab.asterisk.probe.mark()
    refused = len(lab.gateway.lines("call.refused"))
    assert lab.look()[0] == 0
    assert lab.gateway.lines("call.refused")[refused]["reason"] == "unknown_tenant"
    dials = lab.asterisk.probe.events("DialBegin", since=mark)
    assert [each.get("DestChannel").partition("/")[0] for each in dials] == ["Local"]
    assert lab.books.client.keys("cg:{doctor*") == []


def test_a_gateway_that_does_not_answer(lab: DoctorLab) -> None:
    """The dialplan is right, as the doctor's own answer shows."""
    lab.gateway.stop()
    try:
        code, findings = lab.look()
    finally:
        lab.gateway.start()
    (told,) = worth(findings)
    assert (code, told["check"]) == (2, "gateway-silent")
    assert "callgate serve" in told["remedy"]


@pytest.mark.parametrize(
    ("action", "headers"),
    [
        ("Command", {"Command": "core show version"}),
        ("UpdateConfig", {"SrcFilename": "manager.conf", "DstFilename": "manager.conf"}),
        ("Setvar", {"Variable": "X", "Value": "1"}),
        ("Redirect", {"Channel": "x", "Context": "x", "Exten": "1", "Priority": "1"}),
    ],
)
def test_the_doctors_user_can_do_no_more_than_it_needs(lab: DoctorLab, action: str, headers: dict[str, str]) -> None:
    """It writes no config file, runs no command and touches no call."""
    with AmiProbe(lab.asterisk.ami_port, "callgate-doctor", DOCTOR_SECRET) as session:
        reply = session.action(action, **headers)
        assert (reply["Response"], reply["Message"]) == ("Error", "Permission denied")


def test_the_doctors_user_is_sent_no_events(lab: DoctorLab) -> None:
    """Whatever happens while it is there."""
    with AmiProbe(lab.asterisk.ami_port, "callgate-doctor", DOCTOR_SECRET) as session:
        assert lab.look()[0] == 0
        assert session.action("Ping")["Response"] == "Success"
        assert session.events("Hangup", "UserEvent", "Newchannel", "FullyBooted") == []


def test_the_lab_stands_on_what_is_shipped() -> None:
    """Its own dialplan is right in the way of the shipped example."""
    assert DIAL in EXTENSIONS
    assert "#include extensions-example.conf" in EXTENSIONS
