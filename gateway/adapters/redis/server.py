"""The server of the books: two connections, or two to each primary of a cluster, and functions that are run there."""

import asyncio
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

from redis.exceptions import ResponseError

from gateway.adapters.redis import wire
from gateway.adapters.redis.durable import DurablePipe
from gateway.adapters.redis.functions import LIBRARY, complaint, load_functions
from gateway.adapters.redis.packing import Word
from gateway.adapters.redis.pipe import Pipe, Reply
from gateway.adapters.redis.router import Router
from gateway.ports import LedgerUnavailable

Observer = Callable[[str, float, bool], None]
Read = Callable[[Any], Any]  # makes the outcome of a reply

# A top-up that was acknowledged is there, and so is a settlement. A release is not among them: a hold that came back
# with a lost machine is freed by the reaper.
_DURABLE: Final = frozenset({"topup", "reverse", "settle", "recharge_answer"})
_DISK_SECONDS: Final = 5.0  # a sync a second, and a slow disk
_DAY_MS: Final = 86_400_000


def _as_it_is(reply: Reply) -> Reply:
    return reply


class Server:
    """Runs the functions of the books.

    Most steps go through a pipe of their own, and verdicts wait for nothing. What books money for good (``_DURABLE``)
    goes through a durable pipe: its answer comes when the server has it on disk (``sync``), and so many ``replicas``
    have it; see ``durable`` for what a server can promise, and ``own_sync``.

    ``observe`` is told of every function call: its name, its duration in seconds, and whether there was an
    answer (a refusal or a rejection is one). Ids of closed calls and of top-ups are kept for
    ``ids_kept_days``; what is sent again after that is not known any more.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout_seconds: float = 1.0,
        most_pending: int = 10_000,
        ids_kept_days: int = 400,
        sync: bool = True,
        replicas: int = 0,
        own_sync: Callable[[], None] | None = None,
        observe: Observer | None = None,
    ) -> None:
        """Take the URL of a server (``redis://``, ``rediss://``, ``unix://``), of several, or of Sentinels.

        Of a cluster: ``redis://a:1,b:2``; of Sentinels: ``redis+sentinel://a:1,b:2/NAME``.
        Nothing is sent before the first call.
        """
        make = partial(Pipe, timeout_seconds=timeout_seconds, most_pending=most_pending)
        self.pipe: Final = Router(url, make, load_functions, timeout_seconds=timeout_seconds)
        patience = max(timeout_seconds, _DISK_SECONDS)
        careful = partial(
            DurablePipe,
            timeout_seconds=patience,
            most_pending=most_pending,
            sync=sync,
            replicas=replicas,
            own_sync=own_sync,
        )
        self._durable: Final = Router(url, careful, load_functions, timeout_seconds=patience)
        self.most_pending: Final = most_pending
        self._kept_ms = wire.checked_amount(ids_kept_days, 1) * _DAY_MS
        self._observe = observe

    @property
    def pending_durable(self) -> int:
        """Steps that wait for the disk; the others are the pipe's own ``pending``."""
        return self._durable.pending

    async def connect(self) -> None:
        """Make sure that the server is there, or every primary of the cluster, and has the functions.

        Raises LedgerUnavailable; steps may be sent all the same later, the connection comes back by itself.
        Rejected: ``no_functions``, ``version``, ``no_cluster``.
        """
        await self.pipe.connect()

    async def close(self) -> None:
        """Close the connections."""
        await self._durable.close()
        await self.pipe.close()

    def _function(self, name: str, keys: Sequence[str], *words: Word, read: Read = _as_it_is) -> asyncio.Future[Any]:
        """Run a function; the future brings what ``read`` makes of its reply.

        It raises LedgerUnavailable, and LedgerRejected for ``rejected CODE SENTENCE``.
        """
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        started = time.perf_counter()

        def settle(reply: Reply | Exception) -> None:
            outcome = _outcome(reply, read)
            is_fault = isinstance(reply, Exception)
            if self._observe is not None:
                self._observe(name, time.perf_counter() - started, not is_fault)
            if future.done():  # its caller gave up
                return
            if isinstance(outcome, Exception):
                future.set_exception(outcome)
            else:
                future.set_result(outcome)

        line = self._durable if name in _DURABLE else self.pipe
        try:
            line.send(("FCALL", f"{LIBRARY}_{name}", len(keys), *keys, *words), settle)
        except LedgerUnavailable as error:
            settle(error)
        return future

    async def _told(self, *command: Word) -> Reply:
        try:
            return await self.pipe.call(*command)
        except ResponseError as error:
            raise complaint(error) from error


def _outcome(reply: Reply | Exception, read: Read) -> Any:
    """What a function's reply means: a value, or the exception to raise."""
    if isinstance(reply, ResponseError):
        error = complaint(reply)
        error.__cause__ = reply
        return error
    if isinstance(reply, Exception):
        return reply
    if isinstance(reply, bytes) and reply.startswith(b"rejected "):
        return wire.read_rejection(reply)
    try:
        return read(reply)
    except Exception as error:  # noqa: BLE001 - a reply that makes no sense is its caller's to hear of
        return error
