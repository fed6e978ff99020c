"""`callgate init`: a config from a few answers."""

import os
import pty
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import phonenumbers
import pytest
from typer.testing import CliRunner, Result

from gateway.cli import app
from gateway.cli import init as inits
from gateway.settings import load, read, starter
from gateway.settings.shipped import NoExamplesError, shipped

from .init_reading import changed_lines

REPOSITORY = Path(__file__).parents[3]
EXAMPLES = REPOSITORY / "config"
GERMAN = ("--pbx", "127.0.0.1", "--country", "DE", "--currency", "EUR", "--tenant", "firma")


def callgate(*words: str) -> Result:
    return CliRunner().invoke(app, list(words), env={"CALLGATE_CONFIG": ""})


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """A config for a German site."""
    done = callgate("init", str(tmp_path / "new"), *GERMAN)
    assert done.exit_code == 0, done.output
    return tmp_path / "new"


def files_of(folder: Path) -> set[str]:
    return {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}


def test_it_passes_the_check_without_a_warning(written: Path) -> None:
    """As it is, with its first tenant and its switch."""
    done = callgate("check", "--config", str(written))
    assert done.output.splitlines() == [
        "The config is right: 1 tenant, 1 switch.",
        f"books: embedded, {written}-state/redis",
    ]


def test_the_answers_are_in_force(written: Path) -> None:
    """The tenant dials as its country does, pays in its currency by the example's prices, and is found by its name."""
    settings = load(written)
    tenant = settings.tenants["firma"]
    assert (tenant.currency, tenant.accountcodes, tenant.webhook_url, tenant.recharge) == ("EUR", ("firma",), "", None)
    assert tenant.plan.resolve("030901820").e164 == "+4930901820"
    assert tenant.plan.resolve("0033142685300").e164 == "+33142685300"
    assert [tariff.name for tariff in tenant.tariffs.tariffs] == ["example.csv"]
    assert (settings.switches[0].name, settings.switches[0].host) == ("pbx1", "127.0.0.1")


# What differs from the example that a file is made of, as (its line, the line in its place).
DIFFERENT = {
    "gateway.toml": [
        ('# state_dir = "../.callgate"', 'state_dir = "{written}-state"'),
        ('secret = "change-me"', '# secret = "…"'),
        ('# secret_file = "secrets/pbx1"', 'secret_file = "secrets/pbx1"'),
    ],
    "tenants/firma.toml": [
        ('# The tenant "acme": a', '# The tenant "firma": a'),
        ('currency = "USD"', 'currency = "EUR"'),
        ('tariff = "default.csv"', 'tariff = "example.csv"'),
        ('accountcodes = ["acme"]', 'accountcodes = ["firma"]'),
        ('home_country = "US"', 'home_country = "DE"'),
        ('international_prefixes = ["011"]', 'international_prefixes = ["00"]'),
        ('trunk_prefix = "1"', 'trunk_prefix = "0"'),
        ('internal_patterns = ["_2XXX"]', '# internal_patterns = ["_2XXX"]'),
        ("trigger = 10.00", "# trigger = 10.00"),
        ("amount = 25.00", "# amount = 25.00"),
        ("[webhook]", "# [webhook]"),
        ('url = "http:', '# url = "http:'),
        ("secrets = [", "# secrets = ["),
    ],
    "tariffs/example.csv": [],
    "tariffs/example.toml": [
        ("# What the rows", "# EXAMPLE PRICES, which are nobody's"),
        ('currency = "USD"', 'currency = "EUR"'),
    ],
    "asterisk/callgate-local.conf": [("", "exten => 110,1,NoOp(emergency)")],
}
PLAN = [('currency = "USD"', 'currency = "EUR"'), ('tariff = "default.csv"', 'tariff = "example.csv"')]
MADE_OF = {
    "tenants/firma.toml": "tenants/acme.toml",
    "tariffs/example.csv": "tariffs/default.csv",
    "tariffs/example.toml": "tariffs/default.toml",
}
SECRETS = {"secrets/pbx1", "asterisk/callgate-secret.conf"}


def test_each_file_is_its_shipped_example_but_for_the_answers(written: Path) -> None:
    """Comments and all, so that there is one text of each."""
    names = files_of(written) - {name for name in files_of(written) if "secret" in name}
    assert names >= {*DIFFERENT, "plans/guarded.toml", "lists/high-risk.csv", "asterisk/extensions-callgate.conf"}
    for name in sorted(names):
        expected = PLAN if name.startswith("plans/") else DIFFERENT.get(name, [])
        found = changed_lines(EXAMPLES / MADE_OF.get(name, name), written / name)
        assert len(found) == len(expected), (name, found)
        for (old, new), (begins, instead) in zip(found, expected, strict=True):
            assert old.startswith(begins), name
            assert new.startswith(instead.format(written=written)), name


def test_what_the_files_of_the_pbx_read_is_there(written: Path) -> None:
    """Each #include and #tryinclude of a file that is copied names a file that is copied, too."""
    folder = written / "asterisk"
    texts = [file.read_text() for file in folder.iterdir()]
    named = {name for text in texts for name in re.findall(r"^#(?:try)?include (\S+)", text, re.MULTILINE)}
    assert {"callgate-local.conf", "callgate-secret.conf"} <= named
    assert named <= {file.name for file in folder.iterdir()}
    assert not (folder / "extensions-example.conf").exists()


def test_the_secret_is_fresh_and_the_same_on_both_sides(written: Path, tmp_path: Path) -> None:
    """48 hexadecimal digits, other ones each time."""
    secret = load(written).switches[0].secret
    assert re.fullmatch(r"[0-9a-f]{48}", secret)
    assert (written / "asterisk/callgate-secret.conf").read_text() == f"secret = {secret}\n"
    assert callgate("init", str(tmp_path / "other"), *GERMAN).exit_code == 0
    assert load(tmp_path / "other").switches[0].secret != secret


def test_each_manager_user_has_a_secret_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The doctor's, too, which is read by a line that may stay when the doctor's files are gone."""
    examples = tmp_path / "examples"
    shutil.copytree(EXAMPLES, examples)
    name = "manager-callgate-doctor.conf"
    text = f"; #tryinclude {name}\n[callgate-doctor]\n#tryinclude callgate-doctor-secret.conf\n"
    (examples / "asterisk" / name).write_text(text)
    monkeypatch.setattr("gateway.cli.init.shipped", lambda: examples)
    done = callgate("init", str(tmp_path / "new"), *GERMAN)
    assert done.exit_code == 0, done.output
    folder = tmp_path / "new" / "asterisk"
    secrets = [(folder / f"callgate-{which}secret.conf").read_text() for which in ("", "doctor-")]
    assert all(re.fullmatch(r"secret = [0-9a-f]{48}\n", secret) for secret in secrets)
    assert secrets[0] != secrets[1]
    assert (folder / name).read_text() == text
    assert done.output.index("#include manager-callgate.conf") < done.output.index(f"#tryinclude {name}")
    assert f"rm /etc/asterisk/{name} /etc/asterisk/callgate-doctor-secret.conf" in done.output


def test_nobody_else_can_read_it(written: Path) -> None:
    """Files are for owner and group, the secrets for the owner, and folders not for others."""
    for path in [written, *written.rglob("*")]:
        mode = stat.S_IMODE(path.stat().st_mode)
        secret = str(path.relative_to(written)) in SECRETS or path.name.endswith("-secret.conf")
        assert mode == (0o750 if path.is_dir() else 0o600 if secret else 0o640), path


def test_a_pbx_elsewhere_wants_a_permit(tmp_path: Path) -> None:
    """Its secret's file has the line for it, and the steps say so."""
    done = callgate("init", str(tmp_path / "new"), *GERMAN[2:], "--pbx", "pbx.example.com")
    assert "in each secret file, the permit" in done.output
    text = (tmp_path / "new/asterisk/callgate-secret.conf").read_text()
    assert re.fullmatch(r"secret = [0-9a-f]{48}\n; [^\n]+\n; permit = 192\.0\.2\.10/255\.255\.255\.255\n", text)
    assert load(tmp_path / "new").switches[0].host == "pbx.example.com"


def test_the_steps_name_what_to_copy_and_to_type(tmp_path: Path) -> None:
    """All of asterisk for its group alone, the lines that read it, and the commands with the folder."""
    done = callgate("init", str(tmp_path / "b c"), *GERMAN)
    assert f"install -m 640 -g asterisk -t /etc/asterisk '{tmp_path / 'b c' / 'asterisk'}'/*.conf" in done.output
    assert "#include extensions-callgate.conf" in done.output
    assert "#include manager-callgate.conf" in done.output
    assert f"callgate topup firma 25.00 --config '{tmp_path / 'b c'}'" in done.output
    assert 'asterisk -rx "dialplan reload"' in done.output
    steps = ('trunks = ["PJSIP/trunk"]', "callgate check", "callgate serve", "callgate doctor", "rm ", "callgate topup")
    places = [done.output.find(step) for step in steps]
    assert -1 not in places
    assert places == sorted(places)
    assert re.search(r"[0-9a-f]{48}", done.output) is None


# ------------------------------------------------------------------------------------------- what is there stays


def test_nothing_is_overwritten(written: Path) -> None:
    """What is there is named, and stays as it is."""
    before = {name: (written / name).read_bytes() for name in files_of(written)}
    done = callgate("init", str(written), *GERMAN)
    assert done.exit_code == 1
    named = ", ".join(str(written / name) for name in starter.PLACES)
    assert done.output.startswith(f"callgate: there already: {named}; nothing was written.")
    assert {name: (written / name).read_bytes() for name in files_of(written)} == before
    assert [path.name for path in written.parent.iterdir()] == [written.name]


@pytest.mark.parametrize("name", ["tenants", "gateway.toml", "secrets"])
def test_one_thing_that_is_there_is_enough(tmp_path: Path, name: str) -> None:
    """Also a link to nowhere."""
    (tmp_path / name).symlink_to("nowhere")
    done = callgate("init", str(tmp_path), *GERMAN)
    assert (done.exit_code, f"there already: {tmp_path / name};" in done.output) == (1, True)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_file_in_the_folders_place_stays(tmp_path: Path) -> None:
    """It is told, as one that is there."""
    (tmp_path / "new").write_text("mine")
    done = callgate("init", str(tmp_path / "new"), *GERMAN)
    assert (done.exit_code, f"there already: {tmp_path / 'new'};" in done.output) == (1, True)
    assert (tmp_path / "new").read_text() == "mine"


def test_a_folder_that_is_there_is_filled(tmp_path: Path) -> None:
    """It keeps its mode and what else is in it: it may be a volume, or made by a packager."""
    tmp_path.chmod(0o710)
    (tmp_path / "lost+found").mkdir()
    assert callgate("init", str(tmp_path), *GERMAN).exit_code == 0
    assert {path.name for path in tmp_path.iterdir()} == {*starter.PLACES, "lost+found"}
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o710
    assert read(tmp_path)[0] is not None


def test_where_it_cannot_be_written_nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a folder that was begun and of one that was there alike."""
    missing = tmp_path / "no" / "new"
    done = callgate("init", str(missing), *GERMAN)
    assert done.output.startswith(f"callgate: {missing} cannot be written: No such file or directory. Nothing was ")
    real = Path.rename

    def fails(path: Path, target: Path) -> Path:
        if path.name == "tariffs":
            raise OSError(28, "No space left on device")
        return real(path, target)

    monkeypatch.setattr(Path, "rename", fails)
    done = callgate("init", str(tmp_path), *GERMAN)
    assert (done.exit_code, "No space left on device" in done.output) == (1, True)
    assert list(tmp_path.iterdir()) == []


# -------------------------------------------------------------------------------------------------- the answers


def test_without_a_terminal_the_missing_flags_are_named(tmp_path: Path) -> None:
    """All of them at once, and nothing is asked."""
    done = callgate("init", str(tmp_path / "new"), "--country", "US")
    assert done.exit_code == 1
    expected = "callgate: there is no terminal to ask on; give --pbx, --currency, --tenant too. Nothing was written.\n"
    assert done.output == expected
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("flag", "value", "told"),
    [
        ("--pbx", 'a"b c', "is no host; write a name or an address"),
        ("--pbx", "", "is no host"),
        ("--country", "UK", "'UK' is no country; write its two capitals of ISO 3166"),
        ("--country", "+49", "'+49' is no country"),
        ("--currency", "EURO", "'EURO' is no currency of ISO 4217; write its three capitals"),
        ("--tenant", "../../etc", "is no name that a dialplan can have; write 1 to 64"),
        ("--tenant", ".hidden", "is no name that a dialplan can have"),
        ("--tenant", "-x\n[webhook]", "is no name that a dialplan can have"),
        ("--international-prefix", "0\N{SUPERSCRIPT TWO}", "is no international prefix; write digits such as 00"),
        ("--state-dir", "", "'' is no folder; write its path, of letters that can be seen"),
        ("--state-dir", "a\x7fb", "is no folder; write its path"),
        ("--state-dir", "a\nb", "is no folder; write its path"),
    ],
)
def test_a_wrong_answer_is_told_with_what_to_write(tmp_path: Path, flag: str, value: str, told: str) -> None:
    """By the rule of the file's own key; nothing is written."""
    done = callgate("init", str(tmp_path / "new"), *GERMAN, flag, value)
    assert done.exit_code == 1, done.output
    assert done.output.startswith(f"callgate: {flag}: ")
    assert told in done.output
    assert list(tmp_path.iterdir()) == []


def test_what_could_end_a_string_of_toml_does_not(tmp_path: Path) -> None:
    """A quote in a host's name stays within it."""
    done = callgate("init", str(tmp_path / "new"), *GERMAN, "--pbx", 'a"\\b')
    assert done.exit_code == 0, done.output
    assert load(tmp_path / "new").switches[0].host == 'a"\\b'


def test_small_letters_will_do(tmp_path: Path) -> None:
    """Of a country and of a currency."""
    words = ["--pbx", "::1", "--country", "us", "--currency", "usd", "--tenant", "acme"]
    assert callgate("init", str(tmp_path / "new"), *words).exit_code == 0
    assert load(tmp_path / "new").tenants["acme"].plan.home_country == "US"


def test_where_the_caller_chooses_a_carrier_the_prefix_must_be_said(tmp_path: Path) -> None:
    """Brazil's 00 is followed by a carrier's two digits: nobody can guess which."""
    words = ["--pbx", "127.0.0.1", "--country", "BR", "--currency", "BRL", "--tenant", "acme"]
    done = callgate("init", str(tmp_path / "new"), *words)
    assert (done.exit_code, "give --international-prefix too" in done.output) == (1, True)
    assert callgate("init", str(tmp_path / "new"), *words, "--international-prefix", "0015").exit_code == 0
    assert load(tmp_path / "new").tenants["acme"].plan.international_prefixes == ("0015",)


def test_on_a_terminal_it_asks_for_what_is_missing_until_it_is_right(tmp_path: Path) -> None:
    """A default is in brackets, and taken by Enter; what a flag says is not asked."""
    ours, theirs = pty.openpty()
    words = [sys.executable, "-m", "gateway.cli", "init", "new", "--tenant", "firma"]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "TERM": "dumb"}
    with subprocess.Popen(words, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=tmp_path,
                          env=environment, text=True) as process:  # fmt: skip
        os.write(ours, b"\nUK\nde\n\n")
        told, _ = process.communicate(timeout=50)
    os.close(ours)
    os.close(theirs)
    assert process.returncode == 0, told
    asked = ["Where is the PBX", "[127.0.0.1]", "Its home country", "'UK' is no country", "Its home country", "[EUR]"]
    places = [told.index(asked[0])]
    for words_of in asked[1:]:
        places.append(told.index(words_of, places[-1] + 1))
    assert "tenant's name" not in told
    tenant = load(tmp_path / "new").tenants["firma"]
    assert (tenant.plan.home_country, tenant.currency) == ("DE", "EUR")


def test_the_books_of_a_system_are_in_var_lib(tmp_path: Path) -> None:
    """A config below /etc is that of a service; elsewhere the books are beside the config, and by its name."""
    assert inits._state_dir(Path("/etc/callgate"), None) == Path("/var/lib/callgate")
    assert inits._state_dir(tmp_path / "a", None) == tmp_path / "a-state"
    assert inits._state_dir(tmp_path / "a", str(tmp_path / "b/../c")) == tmp_path / "c"


@pytest.mark.full
def test_every_country_makes_a_config_without_a_warning(tmp_path: Path) -> None:
    """With its usual currency, and 00 where nobody knows how it dials abroad."""
    for country in sorted(phonenumbers.SUPPORTED_REGIONS):
        folder = tmp_path / country
        words = ["--pbx", "127.0.0.1", "--country", country, "--currency", inits._usual_currency(country) or "USD"]
        done = callgate("init", str(folder), *words, "--tenant", "first", "--international-prefix", "00")
        assert done.exit_code == 0, done.output
        assert read(folder)[1] == [], country


# -------------------------------------------------------------------------------------------------- the examples


def test_an_installation_without_examples_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The image carries none. A folder named config that is somebody else's is not taken for them."""
    (tmp_path / "config").mkdir()
    monkeypatch.setattr("gateway.settings.shipped._PACKAGE", tmp_path / "gateway")
    with pytest.raises(NoExamplesError):
        shipped()
    done = callgate("init", str(tmp_path / "new"), *GERMAN)
    assert (done.exit_code, "this installation carries no examples" in done.output) == (1, True)


def test_an_example_that_lost_a_line_is_no_template(tmp_path: Path) -> None:
    """It fails where it is read, and writes no half-answered file."""
    example = tmp_path / "plan.toml"
    example.write_text('currency = "USD"\n')
    with pytest.raises(AssertionError, match="has 'currency' 0 times"):
        starter._answered(example, {"currency": "x"})
