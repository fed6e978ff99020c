"""The demo itself, as its command runs it: real gateway, real ledger, real sockets, for a few seconds."""

import asyncio
import signal
import sys
from asyncio.subprocess import PIPE, Process
from pathlib import Path


async def demo(*arguments: str) -> Process:
    """Start ``callgate demo``."""
    program = "from gateway.cli import main; main()"
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, "demo", *arguments, stdout=PIPE, stderr=PIPE
    )


async def told(process: Process) -> str:
    """What it printed when it ended, as it should, with 0 and no complaint."""
    out, faults = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, out.decode() + faults.decode()
    assert faults == b""
    return out.decode()


async def test_the_books_hold_also_in_a_second_demo(tmp_path: Path) -> None:
    """A demo proves its books and exits with 0, and so does a second one that goes on with the first one's."""
    for seed in ("1", "2"):
        text = await told(await demo("--for", "3", "--seed", seed, "--data-dir", str(tmp_path)))
        assert "The books hold" in text
        assert "WRONG" not in text
    assert '"call.closed"' in (tmp_path / "callgate.log").read_text()


async def test_an_interrupt_ends_with_the_proof() -> None:
    """Ctrl-C closes the calls, prints the summary and exits with 0."""
    process = await demo()
    assert process.stdout
    assert await asyncio.wait_for(process.stdout.readline(), 30)
    process.send_signal(signal.SIGINT)
    assert "The books hold" in await told(process)
