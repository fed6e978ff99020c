"""The gateway's API as an admin switches it on: from gateway.toml to an answer on a socket."""

import json
import shutil
import ssl
import subprocess
import sys
from pathlib import Path

import aiohttp
import pytest

from gateway.adapters.http.server import HttpServerError
from gateway.bootstrap import Gateway
from gateway.core.access import hash_of
from gateway.settings import load
from tests.unit.settings.folder import Folder

TOKENS = f'[[token]]\nname = "noc"\nroles = ["operate", "bill"]\nsha256 = "{hash_of("secret").hex()}"\n'


ON_A_TERMINAL = """
import os, pathlib, pty, sys
from gateway.adapters.http.server import HttpServerError
from gateway.adapters.http.api.server import _context
child, _ = pty.fork()
if child:
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
try:
    _context(*map(pathlib.Path, sys.argv[1:]))
except HttpServerError:
    os._exit(7)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """A config with an API on a port of the system's choice."""
    folder = Folder(tmp_path / "config", "acme", "globex")
    folder.change("gateway.toml", "[[switch]]", "[http]\nport = 0\n[api]\nport = 0\n[[switch]]\nport = 1")
    folder.change("gateway.toml", "[api]", '[api]\ntokens_file = "tokens.toml"')
    folder.write("tokens.toml", TOKENS)
    return folder


def url_of(gateway: Gateway) -> str:
    assert gateway.api is not None
    return gateway.api.url


async def got(url: str, **options: object) -> tuple[int, dict[str, object]]:
    """Status and body."""
    headers = {"Authorization": "Bearer secret"}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.get(url, **options) as response,  # type: ignore[arg-type]
    ):
        return response.status, json.loads(await response.read())


async def test_it_serves_the_gateways_own_books(folder: Folder) -> None:
    """A top-up by the API is on the account; the audit log stands where the config says."""
    settings = load(folder.root, folder.environ)
    async with Gateway(settings) as gateway:
        status, told = await got(f"{url_of(gateway)}/v1/tenants")
        assert (status, [one["tenant"] for one in told["items"]]) == (200, ["acme", "globex"])  # type: ignore[attr-defined]
        headers = {"Authorization": "Bearer secret", "Idempotency-Key": "pay-1"}
        body = {"amount": "25.00"}
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.post(f"{url_of(gateway)}/v1/tenants/acme/topups", json=body) as response,
        ):
            assert (await response.json())["balance"] == "25.00"
        assert (await gateway.balances())["acme"].balance_micros == 25_000_000
    (line,) = settings.api.audit_file.read_text().splitlines()
    assert json.loads(line)["token"] == "noc"


async def test_it_is_off_unless_tokens_are_named(folder: Folder) -> None:
    """Nothing listens."""
    folder.change("gateway.toml", 'tokens_file = "tokens.toml"', "")
    async with Gateway(load(folder.root, folder.environ)) as gateway:
        assert gateway.api is None


async def test_tokens_of_a_reload_are_in_force(folder: Folder) -> None:
    """The settings in force are looked at for each request."""
    async with Gateway(load(folder.root, folder.environ)) as gateway:
        folder.write("tokens.toml", "")
        gateway.settings = load(folder.root, folder.environ)
        assert (await got(f"{url_of(gateway)}/v1/tenants"))[0] == 401


@pytest.mark.skipif(shutil.which("openssl") is None, reason="there is no openssl to make a certificate")
async def test_tls(folder: Folder) -> None:
    """By the files that are named; a client that knows the certificate is served, and plain HTTP is not."""
    key, cert = folder.root / "api.key", folder.root / "api.pem"
    words = f"req -x509 -newkey rsa:2048 -nodes -keyout {key} -out {cert} -days 2 -subj /CN=localhost"
    words += " -addext subjectAltName=IP:127.0.0.1"
    subprocess.run(["openssl", *words.split()], check=True, capture_output=True)
    folder.change("gateway.toml", "[api]", '[api]\ntls_cert = "api.pem"\ntls_key = "api.key"')
    async with Gateway(load(folder.root, folder.environ)) as gateway:
        url = f"{url_of(gateway)}/v1/tenants"
        assert url.startswith("https://")
        assert (await got(url, ssl=ssl.create_default_context(cafile=str(cert))))[0] == 200
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await got(url)
        with pytest.raises(aiohttp.ClientError):
            await got(url.replace("https", "http", 1))


@pytest.mark.skipif(shutil.which("openssl") is None, reason="there is no openssl to make a certificate")
def test_a_key_with_a_pass_phrase_is_told_and_asked_of_nobody(tmp_path: Path) -> None:
    """OpenSSL would ask the terminal that a gateway was started on, and the calls would wait for the answer."""
    key, cert = tmp_path / "api.key", tmp_path / "api.pem"
    words = f"req -x509 -newkey rsa:2048 -passout pass:secret -keyout {key} -out {cert} -days 2 -subj /CN=localhost"
    subprocess.run(["openssl", *words.split()], check=True, capture_output=True)
    done = subprocess.run([sys.executable, "-c", ON_A_TERMINAL, cert, key], timeout=20, check=False)
    assert done.returncode == 7


async def test_what_keeps_it_from_starting_is_one_sentence(folder: Folder) -> None:
    """A certificate that is none; an audit file that cannot be written."""
    folder.change("gateway.toml", "[api]", '[api]\ntls_cert = "api.pem"\ntls_key = "api.pem"')
    folder.write("api.pem", "nonsense")
    with pytest.raises(HttpServerError, match="cannot use"):
        await Gateway(load(folder.root, folder.environ)).start()
    folder.change("gateway.toml", '[api]\ntls_cert = "api.pem"\ntls_key = "api.pem"', '[api]\naudit_file = "."')
    with pytest.raises(HttpServerError, match="audit_file"):
        await Gateway(load(folder.root, folder.environ)).start()


async def test_a_reload_by_the_api_reads_the_tokens_again(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """And a config that is wrong changes nothing, the tokens neither."""
    for name, secret in folder.environ.items():
        monkeypatch.setenv(name, secret)
    async with Gateway(load(folder.root)) as gateway, aiohttp.ClientSession() as session:

        async def asked(method: str, path: str, token: str) -> tuple[int, dict[str, object]]:
            headers = {"Authorization": f"Bearer {token}"}
            async with session.request(method, url_of(gateway) + path, headers=headers) as response:
                return response.status, json.loads(await response.read())

        folder.write("tokens.toml", TOKENS.replace(hash_of("secret").hex(), hash_of("newer").hex()))
        folder.change("tenants/globex.toml", 'currency = "USD"', 'curency = "USD"')
        status, told = await asked("POST", "/v1/reload", "secret")
        assert (status, told["code"]) == (409, "config_refused")
        assert "curency" in str(told["errors"])
        folder.change("tenants/globex.toml", 'curency = "USD"', 'currency = "USD"')
        assert (await asked("POST", "/v1/reload", "secret"))[0] == 200
        assert (await asked("GET", "/v1/tenants", "secret"))[0] == 401
        assert (await asked("GET", "/v1/tenants", "newer"))[0] == 200
