"""Who is the primary now: asked of Sentinels at each connect.

``redis+sentinel://user:word@a:26379,b:26379/NAME/0`` names Sentinels, and the name by which they know the primary;
user, password, database and what stands behind a ``?`` are the primary's. ``rediss+sentinel://`` is TLS to both. Where
the Sentinels want a password of their own: ``?sentinel_username=…&sentinel_password=…``.
"""

import contextlib
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit

from redis.asyncio.connection import AbstractConnection, parse_url
from redis.asyncio.sentinel import Sentinel
from redis.exceptions import ResponseError

SCHEMES: Final = ("redis+sentinel", "rediss+sentinel")
_PORT: Final = 26379
_ONE_SECONDS: Final = 0.3  # a Sentinel that is silent holds the others up for so long
_OWN: Final = "sentinel_"


@dataclass(frozen=True, slots=True)
class Watched:
    """A primary as its Sentinels know it."""

    name: str
    sentinels: tuple[tuple[str, int], ...]
    options: dict[str, Any] = field(repr=False)  # of a connection to a Sentinel
    _before: str = field(repr=False)  # the primary's URL up to its host ...
    _behind: str = field(repr=False)  # ... and what follows its port

    async def url(self) -> str:
        """The primary's own URL. Raises RedisError where no Sentinel names one that is up."""
        asked: Any = Sentinel(list(self.sentinels), sentinel_kwargs=self.options)  # type: ignore[no-untyped-call]
        try:
            host, port = await asked.discover_master(self.name)
        finally:
            for client in asked.sentinels:
                await client.aclose()
        host = f"[{host}]" if ":" in host else host
        return f"{self._before}{host}:{port}{self._behind}"


def is_watched(url: str) -> bool:
    """Whether a URL names Sentinels."""
    return url.partition("://")[0] in SCHEMES


def read(url: str) -> Watched:
    """Read such a URL. Raises ValueError in a sentence for what is none."""
    parts = urlsplit(url)
    name, _, database = parts.path.strip("/").partition("/")
    user, at, hosts = parts.netloc.rpartition("@")
    sentinels = tuple(_address(host) for host in hosts.split(","))
    if not name or (database and not database.isdigit()):
        raise ValueError(
            "behind the Sentinels stands the name of what they watch: redis+sentinel://host:26379/mymaster"
        )
    scheme = parts.scheme.partition("+")[0]
    query = parse_qsl(parts.query, keep_blank_values=True)
    options: dict[str, Any] = {"socket_timeout": _ONE_SECONDS, "socket_connect_timeout": _ONE_SECONDS}
    options |= {key.removeprefix(_OWN): value for key, value in query if key in {f"{_OWN}username", f"{_OWN}password"}}
    rest = urlencode([(key, value) for key, value in query if not key.startswith(_OWN)])
    if scheme == "rediss":
        shared = dict(parse_url(f"rediss://x/?{rest}"))
        options |= {"ssl": True, **{key: value for key, value in shared.items() if key.startswith("ssl_")}}
    behind = (f"/{database}" if database else "") + (f"?{rest}" if rest else "")
    return Watched(name, sentinels, options, f"{scheme}://{user}{at}", behind)


def _address(host: str) -> tuple[str, int]:
    parts = urlsplit(f"//{host}")
    if not parts.hostname:
        raise ValueError(f"{host!a} is no Sentinel's address")
    return parts.hostname, parts.port or _PORT


async def current_url(url: str) -> str:
    """The URL to connect to now. Raises RedisError, ValueError."""
    return await read(url).url() if is_watched(url) else url


async def check_primary(connection: AbstractConnection) -> None:
    """A Sentinel may be behind: a server that it names and that is a replica is none to write to.

    Raises ConnectionError; RedisError where it does not answer. Who may not ask takes the Sentinel's word.
    """
    with contextlib.suppress(ResponseError):
        await connection.send_command("ROLE")
        role = await connection.read_response()
        if role[0] not in (b"master", "master"):
            raise ConnectionError("its Sentinels name it, and it is a replica")
