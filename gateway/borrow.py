"""The books for one command. It names concrete adapters as ``bootstrap`` does, but only those that a command needs.

A person waits for each import: without AMI, HTTP and metrics a command starts in half the time.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

from gateway.adapters.archive_page import FileArchivePage
from gateway.adapters.redis.embedded import embedded_server, sync_files
from gateway.adapters.redis.ledger import RedisLedger
from gateway.adapters.redis.server import Observer
from gateway.core.tenant import Tenant
from gateway.ports import Reloaded
from gateway.service.accounts import opened_account
from gateway.service.desk import Desk
from gateway.service.directory import Directory
from gateway.service.switchboard import Switchboard
from gateway.settings import Settings


@asynccontextmanager
async def borrowed_server(settings: Settings) -> AsyncIterator[str]:
    """The URL of the books' server for one command; an embedded one is shared, or started for the moment.

    Raises EmbeddedServerError.
    """
    redis = settings.redis
    if not redis.is_embedded:
        yield redis.url
    else:
        async with embedded_server(redis.data_dir) as url:
            yield url


@asynccontextmanager
async def borrowed_ledger(settings: Settings) -> AsyncIterator[RedisLedger]:
    """The ledger for one command: that of the gateway that runs, or the embedded one started for the moment.

    Raises LedgerUnavailable, LedgerRejected, EmbeddedServerError.
    """
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(borrowed_server(settings))
        ledger = ledger_at(url, settings, timeout_seconds=5.0)
        stack.push_async_callback(ledger.close)
        await ledger.connect()
        yield ledger


@asynccontextmanager
async def borrowed_desk(settings: Settings, *owners: Tenant) -> AsyncIterator[Desk]:
    """The desk for one command, on the ledger alone; the accounts of these tenants are opened.

    Raises LedgerUnavailable, LedgerRejected, EmbeddedServerError.
    """
    async with borrowed_ledger(settings) as ledger:
        for owner in owners:
            await opened_account(ledger, owner)
        yield desk_of(ledger, Directory(settings.tenants.values()), settings)


def ledger_at(
    url: str, settings: Settings, *, timeout_seconds: float = 1.0, observe: Observer | None = None
) -> RedisLedger:
    """The ledger on a server, with the promises of the config."""
    redis, ledger = settings.redis, settings.ledger
    return RedisLedger(
        url,
        timeout_seconds=timeout_seconds,
        ids_kept_days=ledger.ids_kept_days,
        sync=ledger.sync,
        replicas=ledger.replicas,
        own_sync=partial(sync_files, redis.data_dir) if redis.is_embedded else None,
        observe=observe,
    )


def desk_of(
    ledger: RedisLedger,
    directory: Directory,
    settings: Settings,
    *,
    boards: Mapping[str, Switchboard] | None = None,
    reload: Callable[[], Awaitable[Reloaded]] | None = None,
    outbox_written: Callable[[str], None] = lambda _: None,
) -> Desk:
    """What an admin or a clerk can do: with the boards of a running gateway, or on the books alone."""
    archive = FileArchivePage(settings.journal.folder)
    return Desk(
        ledger,
        directory,
        archive,
        boards=boards,
        limits=ledger,
        events=ledger,
        mail=ledger if settings.mail else None,
        leases=ledger,
        reload=reload,
        outbox_written=outbox_written,
    )
