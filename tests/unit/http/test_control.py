"""The control socket: who gets it, and what a command hears."""

import asyncio
import socket
from pathlib import Path

import pytest

from gateway.adapters.http.control import ControlError, ControlServer, ask_gateway


def server(path: Path, answer: str = "first") -> ControlServer:
    async def told() -> dict[str, str]:
        return {"answer": answer}

    return ControlServer(path, reload=told, diff=told)


async def test_a_socket_that_a_killed_gateway_left_is_taken_over(tmp_path: Path) -> None:
    """Nobody answers on it: it is removed, and the new one answers."""
    path = tmp_path / "control.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as left:
        left.bind(str(path))
    new = server(path)
    await new.start()
    assert await ask_gateway(path, "reload") == {"answer": "first"}
    await new.stop()


async def test_a_gateway_that_runs_keeps_its_socket(tmp_path: Path) -> None:
    """A second one is told, and the first goes on answering, also after the second has stopped."""
    first, second = server(tmp_path / "s"), server(tmp_path / "s", "second")
    await first.start()
    with pytest.raises(ControlError, match="another gateway"):
        await second.start()
    await second.stop()
    assert await ask_gateway(tmp_path / "s", "diff") == {"answer": "first"}
    await first.stop()


async def test_a_path_longer_than_the_kernel_takes(tmp_path: Path) -> None:
    """Its folder is opened first, and the socket is named from there."""
    path = tmp_path / ("a" * 120) / "control.sock"
    new = server(path)
    await new.start()
    assert await ask_gateway(path, "diff") == {"answer": "first"}
    await new.stop()


async def test_nobody_there(tmp_path: Path) -> None:
    """One sentence says where nobody answers."""
    for path in (tmp_path / "s", tmp_path / "no/folder/s"):
        with pytest.raises(ControlError, match="No gateway answers on"):
            await ask_gateway(path, "reload")


async def test_a_folder_that_cannot_be_had(tmp_path: Path) -> None:
    """The sentence says what does not work, and what does."""
    (tmp_path / "file").touch()
    with pytest.raises(ControlError, match="kill -HUP does"):
        await server(tmp_path / "file/s").start()


async def test_a_command_that_is_interrupted_does_not_stop_what_it_asked_for(tmp_path: Path) -> None:
    """The reload goes on to its end."""
    begun, may_end, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def slow() -> dict[str, str]:
        begun.set()
        await may_end.wait()
        ended.set()
        return {}

    new = ControlServer(tmp_path / "s", reload=slow, diff=slow)
    await new.start()
    asking = asyncio.create_task(ask_gateway(tmp_path / "s", "reload"))
    await begun.wait()
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    may_end.set()
    async with asyncio.timeout(5):
        await ended.wait()
    await new.stop()
