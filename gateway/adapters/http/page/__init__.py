"""The live page: a shell of static files that holds no data. All it shows comes by ``/v1``, with a token.

The files are as they are written: no build, nothing from elsewhere. The browser is told to run nothing else, and to
make no markup of text (Trusted Types): callers' numbers and tenants' names are put in as text alone.
"""

import hashlib
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from aiohttp import web

FOLDER: Final = Path(__file__).parent
PREFIX: Final = "/page"
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types"
)
KINDS: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
}

Handler = Callable[[web.Request], Awaitable[web.Response]]


def files() -> dict[str, Path]:
    """The page's files by the path that each is served at; ``/`` is the shell."""
    found = {f"{PREFIX}/{file.name}": file for file in sorted(FOLDER.iterdir()) if file.suffix in KINDS}
    return {"/": found.pop(f"{PREFIX}/index.html"), **found}


def handlers() -> dict[str, Handler]:
    """What serves each of them, read once."""
    return {path: _shown(file) for path, file in files().items()}


def _shown(file: Path) -> Handler:
    body = file.read_bytes()
    etag = hashlib.sha256(body).hexdigest()[:16]
    # Asked for again each time, and sent again only when it changed: nobody sees half of an upgrade.
    headers = {"Content-Type": KINDS[file.suffix], "Cache-Control": "no-cache", "ETag": f'"{etag}"'}
    headers["Content-Security-Policy"] = POLICY

    async def show(request: web.Request) -> web.Response:
        if re.search(rf'"{etag}"', request.headers.get("If-None-Match", "")):
            return web.Response(status=304, headers=headers)
        return web.Response(body=body, headers=headers)

    return show
