"""[mail] and [notices]: what is taken, and what is refused in which words."""

from pathlib import Path

import pytest

from gateway.core.notices import LANGUAGES, NO_SUBSCRIPTION, Notice, Subscription
from gateway.settings import MailSettings, load

from .folder import Folder

MAIL = '[mail]\nhost = "mx.example.com"\nsender = "callgate@example.com"\n'
LOGIN = MAIL + 'username = "callgate"\n'
NOTICES = '\n[notices]\naddresses = ["noc@example.com", "desk@example.com", "noc@example.com"]\n'


def folder_with(root: Path, mail: str, notices: str = NOTICES) -> Folder:
    """A right config, and these sections."""
    folder = Folder(root, "acme")
    folder.change("gateway.toml", "[[switch]]", f"{mail}[[switch]]")
    folder.change("tenants/acme.toml", "[webhook]", f"{notices.strip()}\n[webhook]" if notices else "[webhook]")
    folder.environ["MAIL_PASSWORD"] = " open sesame\n"
    return folder


def told(folder: Folder) -> list[str]:
    return [str(problem) for problem in folder.check()]


def mail_of(folder: Folder) -> MailSettings:
    mail = load(folder.root, folder.environ).mail
    assert mail is not None
    return mail


def test_what_is_read(tmp_path: Path) -> None:
    """STARTTLS on its port unless said otherwise; the password from its place; each address once, in order."""
    folder = folder_with(tmp_path, LOGIN + 'password_env = "MAIL_PASSWORD"\n')
    assert told(folder) == []
    mail = mail_of(folder)
    assert (mail.host, mail.port, mail.tls, mail.timeout_seconds) == ("mx.example.com", 587, "starttls", 30)
    assert (mail.username, mail.password) == ("callgate", "open sesame")
    assert "sesame" not in repr(load(folder.root, folder.environ))
    notices = load(folder.root, folder.environ).tenants["acme"].notices
    assert notices == Subscription(("noc@example.com", "desk@example.com"), "en", frozenset(Notice))


def test_neither_is_needed(tmp_path: Path) -> None:
    """Without the two sections nobody is told, and nothing is wrong."""
    folder = folder_with(tmp_path, "", "")
    assert told(folder) == []
    settings = load(folder.root, folder.environ)
    assert (settings.mail, settings.tenants["acme"].notices) == (None, NO_SUBSCRIPTION)


@pytest.mark.parametrize(("tls", "port"), [("tls", 465), ("starttls", 587)])
def test_each_way_has_its_port(tmp_path: Path, tls: str, port: int) -> None:
    """RFC 8314's ports; none's is 25."""
    assert mail_of(folder_with(tmp_path, f'{MAIL}tls = "{tls}"\n')).port == port


def test_the_password_in_a_file(tmp_path: Path) -> None:
    """The file's one line, without its end."""
    folder = folder_with(tmp_path, LOGIN + 'password_file = "secrets/mail"\n')
    folder.write("secrets/mail", "open sesame\n")
    assert told(folder) == []
    assert mail_of(folder).password == "open sesame"


@pytest.mark.parametrize(
    ("mail", "what"),
    [
        (LOGIN, "there is no password; write exactly one of password_file, password_env"),
        (LOGIN + 'password_env = "MAIL_PASSWORD"\npassword_file = "x"\n', "the password stands in two places"),
        (LOGIN + 'password_env = "NONE"\n', "the environment has no 'NONE'"),
        (LOGIN + 'password_env = "EMPTY"\n', "the password is empty"),
        (LOGIN + 'password_env = "LINES"\n', "the password is empty, or no single line"),
        (MAIL + 'password_env = "MAIL_PASSWORD"\n', "there is no username beside it"),
        (LOGIN + 'password_env = "MAIL_PASSWORD"\ntls = "none"\n', "the password would cross the network in the clear"),
        (MAIL + 'tls = "none"\n', "notices go over the network in the clear"),
        (MAIL + 'ca_file = "none.pem"\n', "there is no file"),
        (MAIL.replace("callgate@", ""), "is no e-mail address"),
        (MAIL.replace("callgate@", r"callgate\r\nBcc: x@"), "is no e-mail address"),
        ('[mail]\nhost = "mx.example.com"\n', "sender"),
    ],
)
def test_what_is_wrong_with_mail(tmp_path: Path, mail: str, what: str) -> None:
    """One problem each, with its line and its remedy."""
    folder = folder_with(tmp_path, mail)
    folder.environ |= {"EMPTY": " ", "LINES": "a\nb"}
    (found,) = told(folder)
    assert what in found
    assert "gateway.toml" in found


def test_the_password_itself_is_not_taken(tmp_path: Path) -> None:
    """People copy gateway.toml and show it: the key is not known, and its value is not shown."""
    found = " ".join(told(folder_with(tmp_path, LOGIN + 'password = "open sesame"\n')))
    assert 'mail.password: this key is not known; did you mean "password_' in found
    assert "sesame" not in found


def test_a_server_on_this_machine_may_go_without(tmp_path: Path) -> None:
    """A local relay has no certificate, and nobody listens in between."""
    mail = MAIL.replace("mx.example.com", "127.0.0.1") + 'tls = "none"\n'
    folder = folder_with(tmp_path, mail)
    assert told(folder) == []
    assert mail_of(folder).port == 25


@pytest.mark.parametrize(
    ("notices", "what"),
    [
        ("[notices]\naddresses = []\n", "the list is empty"),
        ('[notices]\naddresses = ["a@b.c"]\nlanguage = "tlh"\n', "'tlh' is no language of notices"),
        ('[notices]\naddresses = ["a@b.c"]\nlanguage = "de"\n', "'de' is no language of notices"),
        ('[notices]\naddresses = ["a@b.c"]\nlanguage = "en-XQ"\n', "is no language of notices"),
        ('[notices]\naddresses = ["a@b.c"]\nlanguage = "../../fr"\n', "is no language of notices"),
        ('[notices]\naddresses = ["a@b.c"]\nonly = ["balance"]\n', "notices.only"),
        ('[notices]\naddresses = ["a@b.c"]\nonly = []\n', "notices.only"),
        ('[notices]\naddresses = ["a b@c.d"]\n', "is no e-mail address"),
        ('[notices]\naddresses = ["a@b.c, d@e.f"]\n', "is no e-mail address"),
        ('[notices]\naddresses = ["NOC <a@b.c>"]\n', "is no e-mail address"),
        ('[notices]\naddresses = ["é@b.c"]\n', "is no e-mail address"),
        ('[notices]\naddresses = ["a@-b.c"]\n', "is no e-mail address"),
        ('[notices]\naddresses = ["a@b.c\\n"]\n', "is no e-mail address"),
        (f'[notices]\naddresses = ["{"a" * 65}@b.c"]\n', "is no e-mail address"),
        ('[notices]\naddresses = ["a"]\n', "is no e-mail address"),
    ],
)
def test_what_is_wrong_with_notices(tmp_path: Path, notices: str, what: str) -> None:
    """One problem each, in the tenant's file."""
    (found,) = told(folder_with(tmp_path, MAIL, notices))
    assert what in found
    assert "acme.toml" in found


@pytest.mark.parametrize("address", ["a@b", "first.last+tag@sub.example.co.uk", "o'neil@xn--bcher-kva.example"])
def test_addresses_that_are_right(tmp_path: Path, address: str) -> None:
    """What mail servers take."""
    assert told(folder_with(tmp_path, MAIL, f'[notices]\naddresses = ["{address}"]\n')) == []


@pytest.mark.parametrize("language", [*LANGUAGES, "en-GB", "fr-CA", "fr-CH"])
def test_languages_that_are_right(tmp_path: Path, language: str) -> None:
    """Those that notices are written in, and their countries."""
    assert told(folder_with(tmp_path, MAIL, f'[notices]\naddresses = ["a@b.c"]\nlanguage = "{language}"\n')) == []


def test_notices_without_a_server(tmp_path: Path) -> None:
    """A tenant that would never be told is warned of, in its own file."""
    (found,) = folder_with(tmp_path, "").check()
    assert found.is_warning
    assert "there is no [mail] in gateway.toml" in found.what
