"""What a gateway logs where nothing works holds no secret of its config."""

import asyncio
import io
import logging
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest
import structlog

from gateway import logs
from gateway.bootstrap import Gateway
from gateway.core.access import hash_of
from gateway.demo.softswitch import SoftSwitch
from gateway.settings import load
from tests.unit.mail.post_office import PostOffice
from tests.unit.settings.folder import Folder

TOKEN = "token-5f0e1a"
OF_REDIS, OF_AMI, OF_MARK, OF_MAIL, OF_URL = "redis-77d1", "ami-9c42", "mark-81be", "mail-3b0d", "url-66fa"
HOOK = "whsec_c2VjcmV0LW9mLWEtd2ViaG9vay10aGF0LWlzLWxvbmc="
SECRETS = (TOKEN, hash_of(TOKEN).hex(), OF_REDIS, OF_AMI, OF_MARK, OF_MAIL, OF_URL, HOOK, HOOK.removeprefix("whsec_"))
GATEWAY = """
[http]
port = 0
[api]
port = 0
tokens_file = "tokens.toml"
[mail]
host = "127.0.0.1"
port = {mail}
tls = "none"
sender = "callgate@example.com"
username = "callgate"
password_env = "MAIL"
timeout_seconds = 1
[[switch]]
mark = "{mark}"
port = {ami}"""


@pytest.fixture
def out() -> Iterator[io.StringIO]:
    """All that is logged, at any level."""
    root, stream = logging.getLogger(), io.StringIO()
    handlers, level = list(root.handlers), root.level
    logs.configure("debug", stream)
    structlog.configure(cache_logger_on_first_use=False)  # the loggers of this process must not keep this stream
    yield stream
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


def folder_for(root: Path, mail: int = 1, ami: int = 1) -> Folder:
    """A config with a secret wherever one may stand."""
    folder = Folder(root / "config", "acme")
    folder.change("gateway.toml", "\n[[switch]]", GATEWAY.format(mail=mail, ami=ami, mark=OF_MARK))
    folder.write("tokens.toml", f'[[token]]\nname = "noc"\nroles = ["operate"]\nsha256 = "{hash_of(TOKEN).hex()}"\n')
    notices = '[notices]\naddresses = ["bill@example.com"]\n\n[webhook]'
    folder.change("tenants/acme.toml", "[webhook]", notices)
    folder.change("tenants/acme.toml", "http://127.0.0.1:8787/hook", f"http://127.0.0.1:1/{OF_URL}?key={OF_URL}")
    folder.environ = {"PBX1_SECRET": OF_AMI, "HOOK_SECRETS": HOOK, "MAIL": OF_MAIL}
    return folder


def told(out: io.StringIO, *events: str) -> str:
    """The log, once it has all of these events."""
    text = out.getvalue()
    return text if all(f'"event": "{event}"' in text for event in events) else ""


async def test_no_secret_where_nothing_takes_what_is_sent(
    out: io.StringIO, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A PBX and a mail server that know other secrets, a dead webhook, a foreign token, a reload that changes them."""
    pbx, office = SoftSwitch(secret="another", name="pbx1"), PostOffice()
    await pbx.start()
    async with office.open() as port, asyncio.timeout(20):
        folder = folder_for(tmp_path, port, pbx.port)
        for name, value in folder.environ.items():
            monkeypatch.setenv(name, value)
        async with Gateway(load(folder.root)) as gateway:
            await gateway.ledger.top_up("acme", "one", 1_000_000, "USD", "test")
            gateway.deliverer.wake("acme")
            assert gateway.api is not None
            async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {TOKEN}x"}) as session:
                assert (await session.get(f"{gateway.api.url}/v1/tenants")).status in {401, 404}
            folder.change("gateway.toml", OF_MARK, f"{OF_MARK}-new")
            monkeypatch.setenv("HOOK_SECRETS", f"whsec_c2Vjb25kIHNlY3JldCBvZiBhIHdlYmhvb2s= {HOOK}")
            assert (await gateway.reload()).is_taken
            while not (text := told(out, "webhook.failed", "mail.not_taken", "ami.down", "config.change")):
                await asyncio.sleep(0.02)
    await pbx.stop()
    assert [secret for secret in SECRETS if secret in text] == []


async def test_no_secret_where_redis_is_away(out: io.StringIO, tmp_path: Path) -> None:
    """Its URL has a password."""
    folder = folder_for(tmp_path)
    folder.change("gateway.toml", '"embedded"', f'"redis://user:{OF_REDIS}@127.0.0.1:1/0"')
    async with Gateway(load(folder.root, folder.environ)) as gateway:
        await gateway.reload()
    text = told(out, "ledger.not_there", "config.kept")
    assert text
    assert [secret for secret in SECRETS if secret in text] == []
