"""What the table of faults does not reach: a server started again on a disk that was full, caps that a clock passes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.ami_probe import one
from tests.lab.asterisk import Asterisk
from tests.lab.conftest import MakeCarrier, MakePhone
from tests.lab.faults.full_disk import SmallDisk
from tests.lab.faults.stage import HOUR_SECONDS
from tests.lab.faults.wrong_clock import WrongClock
from tests.lab.gateway import COUNT_TOLERANCE_SECONDS, Books, GatewayProcess, check_journal, tenant_toml
from tests.lab.process import wait_for
from tests.lab.sipp import Carrier, Phone
from tests.lab.test_gate import LONDON

pytestmark = [pytest.mark.lab, pytest.mark.full]

CONTINUE = '[failure]\npolicy = "continue"\nexposure = 2.00'
TALKED_SECONDS = 9


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """A disk that can be filled up."""
    with SmallDisk(tmp_path / "disk") as small:
        yield small


@pytest.fixture
def books(disk: SmallDisk) -> Iterator[Books]:
    """A Valkey on it."""
    server = Books(disk.folder / "books").start()
    yield server
    server.close()


def entries(books: Books, kind: str) -> list[dict[str, str]]:
    """Those of one type."""
    return [each for each in books.journal("acme") if each["type"] == kind]


def test_what_was_talked_while_the_disk_was_full_is_in_the_books_of_a_server_started_again(
    asterisk: Asterisk, books: Books, disk: SmallDisk, carrier: MakeCarrier, phone: MakePhone, tmp_path: Path
) -> None:
    """Under `continue` the call goes on over the end of its grant, and is charged once, when there is room."""
    tenants = {"acme": tenant_toml("acme", recharge=CONTINUE)}
    gate = GatewayProcess(
        tmp_path, asterisk, books.url, tenants, f'[ledger]\nqueue_dir = "{tmp_path / "queue"}"'
    ).start()
    try:
        carrier(talk_ms=TALKED_SECONDS * 1000 - 500)
        gate.top_up("acme", "5.00")
        call = phone(LONDON)
        call.wait_answered()
        wait_for(lambda: entries(books, "answer"), 5, "the answer in the books")
        disk.fill()
        call.wait(20)
        assert not entries(books, "settle")
        disk.make_room()
        record = one(gate.closed(timeout_seconds=15))
        assert (record["billsec"], record["charged"], record["outcome"]) == (TALKED_SECONDS, "0.90", "settled")
        before = books.client.hgetall("cg:{acme}:account")
        books.stop()
        books.start()
        assert books.client.hgetall("cg:{acme}:account") == before
        check_journal(books, "acme")
        assert gate.run("audit").returncode == 0
    finally:
        gate.stop()


@pytest.mark.parametrize("hours", [1, -1])
def test_the_cap_of_an_extended_call_when_asterisks_clock_is_set(lab_root: Path, tmp_path: Path, hours: int) -> None:
    """It is cut where its money ends, not an hour later; set forward, Asterisk may end it sooner."""
    asterisk = Asterisk(lab_root, log_levels="warning,error")
    clock = WrongClock(asterisk.dir / "clock", root=lab_root)
    asterisk.prefix = clock.prefix
    books = Books(tmp_path / "books").start()
    try:
        with asterisk:
            gate = GatewayProcess(tmp_path, asterisk, books.url, {"acme": tenant_toml("acme")}).start()
            try:
                _play(asterisk, books, gate, clock, hours)
            finally:
                gate.stop()
    finally:
        books.close()


def _play(asterisk: Asterisk, books: Books, gate: GatewayProcess, clock: WrongClock, hours: int) -> None:
    gate.top_up("acme", "0.80")  # 8 s
    with Carrier(asterisk, gate.folder), Phone(asterisk, gate.folder, [LONDON]) as phone:
        phone.wait_answered()
        wait_for(lambda: entries(books, "extend"), 6, "an extension")
        clock.set(hours * HOUR_SECONDS)
        call = one(phone.wait(20))
        record = one(gate.closed())
        print(f"{hours:+d} h: talked {call.talked_seconds:.2f} s of 8, billed {record['billsec']}")
        assert call.talked_seconds <= 8 + 1
        assert abs(record["billsec"] - call.talked_seconds) <= COUNT_TOLERANCE_SECONDS
        check_journal(books, "acme")
