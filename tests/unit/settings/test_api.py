"""[api] and the tokens' file: off unless asked for, and never in the clear beyond this machine by mistake."""

from pathlib import Path

import pytest

from gateway.core.access import Role, hash_of
from gateway.settings import load

from .folder import Folder

TOKENS = f"""\
[[token]]
name = "billing"
roles = ["bill"]
tenants = ["acme"]
sha256 = "{hash_of("one").hex()}"

[[token]]
name = "noc"
roles = ["read", "operate"]
sha256 = "{hash_of("two").hex()}"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """A config with an API."""
    folder = Folder(tmp_path, "acme")
    folder.write("gateway.toml", (tmp_path / "gateway.toml").read_text() + '\n[api]\ntokens_file = "tokens.toml"\n')
    folder.write("tokens.toml", TOKENS)
    return folder


def test_it_is_off_unless_a_file_of_tokens_is_named(tmp_path: Path) -> None:
    """And then on loopback."""
    folder = Folder(tmp_path, "acme")
    assert load(folder.root, folder.environ).api.is_on is False


def test_tokens(folder: Folder) -> None:
    """Each with its roles and tenants, found by its secret alone."""
    api = load(folder.root, folder.environ).api
    assert (api.is_on, api.host, api.port, api.tls_cert) == (True, "127.0.0.1", 9465, None)
    billing, noc = api.keyring.find("one"), api.keyring.find("two")
    assert billing is not None
    assert noc is not None
    assert (billing.name, billing.roles, billing.tenants) == ("billing", {Role.BILL}, {"acme"})
    assert (billing.may(Role.READ), billing.may(Role.OPERATE)) == (True, False)
    assert (billing.sees("acme"), billing.sees("globex"), noc.sees("globex")) == (True, False, True)
    assert api.keyring.find("three") is None


@pytest.mark.parametrize(
    ("old", "new", "key", "said"),
    [
        ('name = "noc"', 'name = "billing"', "token[2].name", "already"),
        ('roles = ["bill"]', "roles = []", "token[1].roles", "read, operate, bill"),
        ('roles = ["bill"]', 'roles = ["root"]', "token[1].roles[1]", ""),
        ('tenants = ["acme"]', "tenants = []", "token[1].tenants", "left out"),
        ('tenants = ["acme"]', 'tenant = "acme"', "token[1].tenant", "not known"),
        (hash_of("two").hex(), hash_of("one").hex(), "token[2].sha256", "another token"),
        (hash_of("two").hex(), "cg_the-token-itself", "token[2].sha256", "callgate token make"),
        ('name = "noc"', "", "token[2].name", "missing"),
    ],
)
def test_a_wrong_token_is_told_with_its_key(folder: Folder, old: str, new: str, key: str, said: str) -> None:
    """Never with what was written for a hash: it may be the token."""
    folder.change("tokens.toml", old, new)
    problem = folder.problem()
    assert (problem.file.name, problem.key, problem.is_warning) == ("tokens.toml", key, False)
    assert said in str(problem)
    assert "cg_the-token-itself" not in str(problem)


def test_a_missing_file_says_how_to_make_tokens(folder: Folder) -> None:
    """By the command."""
    (folder.root / "tokens.toml").unlink()
    assert "callgate token make" in str(folder.problem())


def test_what_is_likely_not_meant(folder: Folder) -> None:
    """A tenant that there is not; no token at all."""
    folder.change("tokens.toml", 'tenants = ["acme"]', 'tenants = ["acme", "nobody"]')
    assert folder.problem().is_warning
    folder.write("tokens.toml", "")
    assert folder.problem().is_warning


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "gateway.example"])
def test_beyond_this_machine_it_wants_tls(folder: Folder, host: str) -> None:
    """Or the word that it is not to."""
    folder.change("gateway.toml", "tokens_file", f'host = "{host}"\ntokens_file')
    problem = folder.problem()
    assert (problem.key, problem.is_warning) == ("api.host", False)
    assert "insecure = true" in problem.remedy
    folder.change("gateway.toml", "tokens_file", "insecure = true\ntokens_file")
    assert folder.check() == []


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.0.1", "::1", "localhost"])
def test_on_this_machine_it_does_not(folder: Folder, host: str) -> None:
    """Nobody else can listen."""
    folder.change("gateway.toml", "tokens_file", f'host = "{host}"\ntokens_file')
    assert folder.check() == []


def test_a_certificate_has_its_key(folder: Folder) -> None:
    """Both are named, and are there; a key that all can read is told."""
    folder.change("gateway.toml", "tokens_file", 'host = "::"\ntls_cert = "api.pem"\ntokens_file')
    folder.write("api.pem", "")
    assert folder.problem().key == "api.tls_cert"
    folder.change("gateway.toml", "tls_cert", 'tls_key = "api.key"\ntls_cert')
    assert "there is no file" in str(folder.problem())
    folder.write("api.key", "").chmod(0o644)
    assert folder.problem().is_warning
    (folder.root / "api.key").chmod(0o600)
    assert folder.check() == []
