"""Each thing that can be wrong with a config gives one sentence, with its file, its line, its key and its remedy."""

from pathlib import Path

import pytest

from gateway.settings import ConfigErrors, load
from tests.unit.settings.folder import GATEWAY, TARIFF, TENANT, Folder

ACME = "tenants/acme.toml"

GATEWAY_CASES = [
    ('url = "embedded"', 'urll = "embedded"', "redis.urll", 2, 'did you mean "url"?'),
    ('url = "embedded"', 'url = "http://127.0.0.1"', "redis.url", 2, "redis://127.0.0.1:6379/0"),
    ('url = "embedded"', 'url = "redis://"', "redis.url", 2, "redis://127.0.0.1:6379/0"),
    ('url = "embedded"', 'url = "redis://h:99999/0"', "redis.url", 2, "redis://127.0.0.1:6379/0"),
    ('url = "embedded"', 'url = "redis://[::1/0"', "redis.url", 2, "redis://127.0.0.1:6379/0"),
    ('url = "embedded"', 'url = "redis://a:1,,b:2"', "redis.url", 2, "redis://10.0.0.1:6379,10.0.0.2:6379"),
    ('url = "embedded"', 'url = "redis://a:1,b:0"', "redis.url", 2, "redis://10.0.0.1:6379,10.0.0.2:6379"),
    ('url = "embedded"', 'url = "redis://a:1,b:x"', "redis.url", 2, "redis://10.0.0.1:6379,10.0.0.2:6379"),
    ('url = "embedded"', 'url = "redis+sentinel://a,b"', "redis.url", 2, "redis+sentinel://10.0.0.1:26379"),
    ('url = "embedded"', 'url = "redis+sentinel://a/n/x"', "redis.url", 2, "redis+sentinel://10.0.0.1:26379"),
    ("[redis]", "[reddis]", "reddis", 1, 'did you mean "redis"?'),
    ('name = "pbx1"', "", "switch[1].name", 4, 'write name = "pbx1"'),
    ('name = "pbx1"', 'name = "pbx/1"', "switch[1].name", 5, "letters, digits"),
    ('name = "pbx1"', 'name = "pbx1\\n"', "switch[1].name", 5, "letters, digits"),
    ('host = "127.0.0.1"', 'host = "a b"', "switch[1].host", 6, "127.0.0.1"),
    ('host = "127.0.0.1"', 'host = "h"\nport = "5038"', "switch[1].port", 7, "write port = 5038"),
    ('host = "127.0.0.1"', 'host = "h"\nport = 70000', "switch[1].port", 7, "1 to 65535"),
    ('host = "127.0.0.1"', 'host = "h"\nport = true', "switch[1].port", 7, "1 to 65535"),
    ('host = "127.0.0.1"', 'host = "h"\nusername = "a\\r\\nAction: Logoff"', "switch[1].username", 7, "one line"),
    ('secret_env = "PBX1_SECRET"', "", "switch[1]", 4, "exactly one of secret, secret_file, secret_env"),
    ('secret_env = "PBX1_SECRET"', 'secret_env = "A"\nsecret = "b"', "switch[1]", 4, "exactly one of"),
    ('secret_env = "PBX1_SECRET"', 'secret_env = "NONE"', "switch[1].secret_env", 7, "set the variable"),
    ('secret_env = "PBX1_SECRET"', 'secret = "a\\nb"', "switch[1].secret", 7, "one line"),
    ("[redis]", "[verdict]\ndeadline_ms = 1\n[redis]", "verdict.deadline_ms", 2, "50 to 10000"),
    ("[redis]", '[log]\nlevel = "loud"\n[redis]', "log.level", 2, "debug, info, warning or error"),
    ("[redis]", "[http]\nport = -1\n[redis]", "http.port", 2, "0 to 65535"),
    ("[redis]", "[ledger]\nreplicas = 17\n[redis]", "ledger.replicas", 2, "0 to 16"),
    ("[redis]", "[ledger]\nreplicas = 1\n[redis]", "ledger.replicas", 2, "write 0, or the URL"),
    ("[redis]", '[ledger]\nsync = "yes"\n[redis]', "ledger.sync", 2, "true or false"),
    ("[redis]", '[ledger]\nqueue_dir = ""\n[redis]', "ledger.queue_dir", 2, "folder of the settlements"),
    ("[redis]", "http = 9\n[redis]", "http", 1, "write [http]"),
]

TENANT_CASES = [
    ("[recharge]", "[warning]\nseconds = 61\n[recharge]", "warning.seconds", 11, "0 to 60 (0: not at all)"),
    ("[recharge]", '[warning]\nsound = "a,b"\n[recharge]', "warning.sound", 11, "without its ending"),
    ("[recharge]", '[warning]\nsound = "a:b"\n[recharge]', "warning.sound", 11, "without its ending"),
    ("[recharge]", "[dial]\nno_credit_status = 503\n[recharge]", "dial.no_credit_status", 11, "402 or 403"),
    ('currency = "USD"', 'currancy = "USD"\ncurrency = "USD"', "currancy", 1, 'did you mean "currency"?'),
    ('currency = "USD"', "", "currency", None, 'write currency = "USD"'),
    ('currency = "USD"', 'currency = "usd"', "currency", 1, "three capitals"),
    ('currency = "USD"', 'currency = "ZZZ"', "currency", 1, "three capitals"),
    ('"default.csv"', '"other.csv"', "tariff", 2, "write the file, or name another one"),
    ('"default.csv"', '"../secret.csv"', "tariff", 2, "ends in .csv"),
    ('["acme"]', '["acme", "b", "acme"]', "accountcodes", 3, "keep one of them"),
    ('["acme"]', '"acme"', "accountcodes", 3, 'write accountcodes = ["acme"]'),
    ('["acme"]', '["ok", "a\\nb"]', "accountcodes[2]", 3, "one line"),
    ('"US"', '"XX"', "numbers.home_country", 6, "two capitals"),
    ('["011"]', '["abc"]', "numbers.international_prefixes", 7, "digits such as 00"),
    ('trunk_prefix = "1"', 'trunk_prefix = "x"', "numbers.trunk_prefix", 8, "4 digits"),
    ('trunk_prefix = "1"', "trunk_prefix = 1", "numbers.trunk_prefix", 8, 'write trunk_prefix = "1"'),
    (
        'trunk_prefix = "1"',
        'trunk_prefix = "1"\ninternal_patterns = ["_2."]',
        "numbers.internal_patterns",
        9,
        "write one X for each digit",
    ),
    (
        'trunk_prefix = "1"',
        'trunk_prefix = "1"\nemergency_numbers = ["help"]',
        "numbers.emergency_numbers",
        9,
        "digits such as 112",
    ),
    (
        'trunk_prefix = "1"',
        'trunk_prefix = "1"\nlocal_area_code = 212',
        "numbers.local_area_code",
        9,
        'write local_area_code = "212"',
    ),
    (
        'trunk_prefix = "1"',
        'trunk_prefix = "1"\nlocal_area_code = "212"',
        "numbers.local_area_code",
        9,
        "write local_lengths, such as [7]",
    ),
    (
        'trunk_prefix = "1"',
        'trunk_prefix = "1"\nlocal_area_code = "212"\nlocal_lengths = [8]',
        "numbers.local_lengths",
        10,
        "it has 10",
    ),
    (
        'trunk_prefix = "1"',
        'trunk_prefix = "1"\nlocal_area_code = "212"\nlocal_lengths = 7',
        "numbers.local_lengths",
        10,
        "write local_lengths = [7]",
    ),
    (
        'trunk_prefix = "1"',
        'trunk_prefix = "1"\n[numbers.classes]\n1900 = "premium"\n"787" = "domestic_fixed"',
        "numbers.classes.787",
        11,
        "as in 1787",
    ),
    (
        'trunk_prefix = "1"',
        'trunk_prefix = "1"\n[numbers.classes]\n"1787" = "domestic"',
        "numbers.classes.1787",
        10,
        "write one of domestic_fixed, domestic_mobile",
    ),
    (
        'trunk_prefix = "1"',
        'trunk_prefix = "1"\n[numbers.classes]\n"1911" = "emergency"',
        "numbers.classes.1911",
        10,
        "write one of domestic_fixed",
    ),
    (
        'trunk_prefix = "1"',
        'trunk_prefix = "1"\n[numbers.classes]\n1787 = 5',
        "numbers.classes.1787",
        10,
        "write one of domestic_fixed",
    ),
    (
        'trunk_prefix = "1"',
        'trunk_prefix = "1"\nclasses = "premium"',
        "numbers.classes",
        9,
        'write classes = { "4470" = "premium" }',
    ),
    ('trigger = "10.00"', "", "recharge.amount", 12, "write trigger too"),
    ("amount = 25.00", "", "recharge.trigger", 11, "write amount too"),
    ("amount = 25.00", "amount = 9.99", "recharge.amount", 12, "write 10.00 or more"),
    ("amount = 25.00", 'amount = 10\nmode = "level"', "recharge.amount", 12, "write more than 10.00"),
    ("amount = 25.00", 'amount = 10\nmode = "none"', "recharge.amount", 12, "the mode it is for"),
    ("amount = 25.00", 'amount = 25\nmode = "all"', "recharge.mode", 13, "fixed (the amount)"),
    ("amount = 25.00", "amount = 25\namount_per_day = 24.99", "recharge.amount_per_day", 13, "write 25.00 or more"),
    ("amount = 25.00", "amount = 25\nrecharges_per_day = 0", "recharge.recharges_per_day", 13, "1 to 100"),
    ("amount = 25.00", 'amount = 25\ncommand = ["pay"]', "recharge.command", 13, "/usr/local/bin/pay"),
    ("amount = 25.00", 'amount = 25\ncommand = ["/none/pay"]', "recharge.command", 13, "put the program there"),
    ('accountcodes = ["acme"]', 'accountcodes = ["acme"]\ncredit_limit = 10', "recharge.trigger", 12, "above 10.00"),
    ("amount = 25.00", "amount = -1.5", "recharge.amount", 12, "zero or more"),
    ("amount = 25.00", "amount = 0", "recharge.amount", 12, "more than zero"),
    ("amount = 25.00", "amount = 1e2", "recharge.amount", 12, "digits with a point"),
    ("amount = 25.00", "amount = inf", "recharge.amount", 12, "digits with a point"),
    ("amount = 25.00", "amount = 1e999999", "recharge.amount", 12, "digits with a point"),
    ("amount = 25.00", "amount = 9007199254.740992", "recharge.amount", 12, "the largest amount is"),
    ("amount = 25.00", "amount = 25.0000001", "recharge.amount", 12, "at most 6"),
    ("amount = 25.00", "amount = true", "recharge.amount", 12, "write a number"),
    ("amount = 25.00", "amount = [25]", "recharge.amount", 12, "write a number"),
    ('"http://127.0.0.1:8787/hook"', '"ftp://127.0.0.1/"', "webhook.url", 15, "https://"),
    ('"http://127.0.0.1:8787/hook"', '"https://"', "webhook.url", 15, "https://"),
    ('"http://127.0.0.1:8787/hook"', '"http://127.0.0.1/a b"', "webhook.url", 15, "https://"),
    ('"http://127.0.0.1:8787/hook"', '"http://127.0.0.1:x/"', "webhook.url", 15, "https://"),
    ('"http://127.0.0.1:8787/hook"', '"http://127.0.0.1/#a"', "webhook.url", 15, "https://"),
    ('"http://127.0.0.1:8787/hook"', '"https://10.0.0.9/hook"', "webhook.url", 15, "allow_private = true in [webhook]"),
    ('secret_env = "HOOK_SECRETS"', "", "webhook", 14, "exactly one of secrets, secret_file, secret_env"),
    ('secret_env = "HOOK_SECRETS"', "secrets = []", "webhook.secrets", 16, "write at least one"),
    ('secret_env = "HOOK_SECRETS"', 'secrets = ["abc"]', "webhook.secrets", 16, "make one with"),
    ('secret_env = "HOOK_SECRETS"', 'secrets = ["whsec_YWJj"]', "webhook.secrets", 16, "make one with"),
    ('secret_env = "HOOK_SECRETS"', 'secret_file = "gone"', "", None, "webhook.secret_file"),
    ("[numbers]", '[dial]\nformat = "prefix"\n[numbers]', "dial.prefix", 5, 'prefix = "9"'),
    ("[numbers]", '[dial]\nprefix = "9"\n[numbers]', "dial.prefix", 6, 'format = "prefix"'),
    ("[numbers]", '[dial]\nprefix = "9&SIP/x"\n[numbers]', "dial.prefix", 6, "0-9, *, # and +"),
    ("[numbers]", '[dial]\nformat = "plain"\n[numbers]', "dial.format", 6, "dialled, e164, plus or prefix"),
    ("[numbers]", "[quota]\nquantum_seconds = 0\n[numbers]", "quota.quantum_seconds", 6, "1 to 3600"),
    ("[numbers]", "[quota]\nquantum_seconds = 30.5\n[numbers]", "quota.quantum_seconds", 6, "1 to 3600"),
    (
        'currency = "USD"',
        'currency = "USD"\nunmetered_classes = ["tolfree"]',
        "unmetered_classes[1]",
        2,
        "toll_free",
    ),
]


@pytest.mark.parametrize(("old", "new", "key", "line", "remedy"), GATEWAY_CASES)
def test_gateway_file(folder: Folder, old: str, new: str, key: str, line: int | None, remedy: str) -> None:
    """A wrong key of gateway.toml is named with its line and with what to write."""
    folder.change("gateway.toml", old, new)
    problem = folder.problem()
    assert not problem.is_warning
    assert (problem.file.name, problem.key, problem.line) == ("gateway.toml", key, line)
    assert remedy in problem.remedy


@pytest.mark.parametrize(("old", "new", "key", "line", "remedy"), TENANT_CASES)
def test_tenant_file(folder: Folder, old: str, new: str, key: str, line: int | None, remedy: str) -> None:
    """A wrong key of a tenant's file is named with its line and with what to write."""
    folder.change(ACME, old, new)
    problem = folder.problem()
    assert not problem.is_warning
    assert (problem.key, problem.line) == (key, line)
    assert remedy in problem.remedy


def test_all_problems_at_once(tmp_path: Path) -> None:
    """Every problem of every file is told in one go, by file and line, those across files among them."""
    folder = Folder(tmp_path, "acme", "globex")
    folder.change("gateway.toml", 'url = "embedded"', 'url = "embedded"\nport = 1')
    folder.change("tenants/globex.toml", '["globex"]', '["globex", "acme"]')
    folder.change("tenants/globex.toml", "amount = 25.00", "amount = 5\nbonus = 1")
    folder.write("tariffs/default.csv", TARIFF + "44,Again,0,0.02,60,60\nx,Bad,0,-1,60,60\n")
    found = [(problem.file.name, problem.line, problem.key) for problem in folder.check()]
    assert found == [
        ("gateway.toml", 3, "redis.port"),
        ("default.csv", 5, "prefix"),
        ("default.csv", 6, "prefix"),
        ("default.csv", 6, "rate_per_minute"),
        ("globex.toml", 3, "accountcodes"),
        ("globex.toml", 12, "recharge.amount"),
        ("globex.toml", 13, "recharge.bonus"),
    ]


def test_one_accountcode_has_one_owner(tmp_path: Path) -> None:
    """Two tenants with one accountcode are an error that names the other's file: one would pay for the other."""
    folder = Folder(tmp_path, "acme", "globex")
    folder.change("tenants/globex.toml", '["globex"]', '["acme"]')
    problem = folder.problem()
    assert problem.file.name == "globex.toml"
    assert "acme.toml" in problem.what


def test_switch_names_are_unique(folder: Folder) -> None:
    """Two switches with one name are an error at the second."""
    second = GATEWAY.partition("[[switch]]")[2]
    folder.write("gateway.toml", f"{GATEWAY}\n[[switch]]{second}")
    problem = folder.problem()
    assert (problem.key, problem.line) == ("switch[2].name", 10)


@pytest.mark.parametrize("name", ["a b", "a@b", "x" * 65, "caf\u00e9"])
def test_a_tenant_has_a_name_for_the_dialplan(folder: Folder, name: str) -> None:
    """A file whose name the dialplan's FILTER would change is refused: its tenant could never be named."""
    folder.write(f"tenants/{name}.toml", TENANT.format(name="other"))
    assert "name the file" in folder.problem().remedy


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[redis\n", 1),
        ("a = 1\na = 2\n", 2),
        ("a = 'x\n", 1),
        ("a = 1\n\nb = \n", 3),
        (b"a = 1\nb = '\xff'\n", 2),
        ("a = " + "[" * 5000, None),
        ("a = " + "9" * 5000, None),
    ],
)
def test_a_file_that_is_no_toml(folder: Folder, text: str | bytes, line: int | None) -> None:
    """A file that cannot be parsed is one problem, with its line where there is one, and no traceback."""
    folder.write("gateway.toml", text)
    problem = folder.problem()
    assert problem.file.name == "gateway.toml"
    assert problem.line == line


def test_a_file_too_large(folder: Folder) -> None:
    """A TOML file of megabytes is refused unread."""
    folder.write(ACME, "#" * (1024 * 1024 + 1))
    assert "larger than" in folder.problem().what


def test_a_tenant_that_is_a_folder(folder: Folder) -> None:
    """A folder that is called like a tenant's file is told, and is not read."""
    (folder.root / "tenants/odd.toml").mkdir()
    assert folder.problem().what == "this is no file"


@pytest.mark.parametrize("name", ["gateway.toml", "tenants", ""])
def test_what_is_missing_is_named(folder: Folder, name: str) -> None:
    """A config without its main file, its tenants' folder or itself is an error that names the path."""
    target = folder.root / name
    for file in sorted(target.rglob("*"), reverse=True) if target.is_dir() else [target]:
        file.rmdir() if file.is_dir() else file.unlink()
    if target.is_dir():
        target.rmdir()
    problem = folder.problem()
    assert str(problem.file).startswith(str(target))
    with pytest.raises(ConfigErrors):
        load(folder.root, folder.environ)


def test_a_bad_tariff_is_told_once(tmp_path: Path) -> None:
    """A bad row of a tariff that two tenants have is one problem, with line and column."""
    folder = Folder(tmp_path, "acme", "globex")
    folder.write("tariffs/default.csv", TARIFF.replace("0.02,60", "cheap,60"))
    problem = folder.problem()
    assert (problem.file.name, problem.line, problem.key) == ("default.csv", 2, "rate_per_minute")


def test_a_wholly_bad_tariff_is_bounded(folder: Folder) -> None:
    """Of a tariff with thousands of bad rows, a hundred are told, and how many more there are."""
    folder.write("tariffs/default.csv", TARIFF + "x,Bad,0,1,60,60\n" * 5000)
    problems = folder.check()
    assert len(problems) == 101
    assert problems[-1].what == "4900 more are wrong"


def test_no_secret_in_a_message(folder: Folder) -> None:
    """What is wrong with a secret or with a URL that holds one is said without it."""
    folder.change("gateway.toml", '"embedded"', '"http://:hunter2@127.0.0.1"')
    folder.change("gateway.toml", 'secret_env = "PBX1_SECRET"', 'secret = "hunter2\\n"')
    folder.change(ACME, 'secret_env = "HOOK_SECRETS"', 'secrets = "hunter2"')
    problems = folder.check()
    assert len(problems) == 3
    assert "hunter2" not in "".join(str(problem) for problem in problems)


def test_an_empty_secret_file(folder: Folder) -> None:
    """A secret's file with nothing in it is an error: an empty password is none."""
    folder.change("gateway.toml", 'secret_env = "PBX1_SECRET"', 'secret_file = "pbx1"')
    folder.write("pbx1", " \n")
    problem = folder.problem()
    assert not problem.is_warning
    assert problem.key == "switch[1].secret_file"


@pytest.mark.parametrize("content", ["secret =\n", "secret = ; none yet\n"])
def test_an_empty_secret_of_asterisk(folder: Folder, content: str) -> None:
    """The line of callgate-secret.conf with no secret in it is an error, as an empty file is."""
    folder.change("gateway.toml", 'secret_env = "PBX1_SECRET"', 'secret_file = "pbx1"')
    folder.write("pbx1", content)
    assert folder.problem().what == "the secret is empty"


def test_a_secret_from_outside_that_fits_no_header(folder: Folder) -> None:
    """A secret with a line break in the environment is an error: it would end a line of AMI."""
    folder.environ["PBX1_SECRET"] = "a\r\nAction: Logoff"
    assert "one line" in folder.problem().remedy


@pytest.mark.parametrize(("host", "is_told"), [("localhost", False), ("[::1]", False), ("billing.example.com", True)])
def test_events_in_the_clear(folder: Folder, host: str, is_told: bool) -> None:
    """A webhook by plain http is a warning, unless it stays on this machine."""
    folder.change(ACME, "127.0.0.1:8787", host)
    assert [problem.is_warning for problem in folder.check()] == ([True] if is_told else [])


def test_a_hostile_key_forges_no_line(folder: Folder) -> None:
    """A key with a line break in it does not make a second line of the report."""
    folder.change(ACME, 'currency = "USD"', 'currency = "USD"\n"a\\nb: all is well" = 1')
    assert "\n" not in str(folder.problem())


WARNINGS = [
    ("gateway.toml", "[redis]", "[verdict]\ndeadline_ms = 2900\n[redis]", "verdict.deadline_ms"),
    (ACME, '"http://127.0.0.1:8787/hook"', '"http://billing.example.com/hook"', "webhook.url"),
    (ACME, '"USD"', '"USD"\nunmetered_classes = ["domestic", "premium"]', "unmetered_classes"),
    (ACME, '"USD"', '"USD"\nunmetered_classes = ["international_fixed"]', "unmetered_classes"),
    (ACME, TENANT[TENANT.index("[webhook]") :], "", "recharge"),
    ("gateway.toml", 'secret_env = "PBX1_SECRET"', 'secret = "change-me"', "switch[1].secret"),
    ("gateway.toml", GATEWAY[GATEWAY.index("[[switch]]") :], "", ""),
]


@pytest.mark.parametrize(("name", "old", "new", "key"), WARNINGS)
def test_warnings(folder: Folder, name: str, old: str, new: str, key: str) -> None:
    """What is likely not meant is told as a warning, and the config is taken all the same."""
    folder.change(name, old, new)
    problem = folder.problem()
    assert problem.is_warning
    assert problem.key == key
    assert load(folder.root, folder.environ).warnings == (problem,)


@pytest.mark.parametrize(
    ("name", "old", "new", "lease_ms", "key", "remedy"),
    [
        ("gateway.toml", "[redis]", "[verdict]\ndeadline_ms = 1000\n[redis]", 600, "verdict.deadline_ms", "1200"),
        (
            ACME,
            "[numbers]",
            "[quota]\nextend_lead_ms = 1000\n[warning]\nseconds = 0\n[numbers]",
            600,
            "quota.extend_lead_ms",
            "1200",
        ),
        (ACME, "[numbers]", "[quota]\nquantum_seconds = 2\n[numbers]", 600, "quota.quantum_seconds", "= 3 "),
        (ACME, "[numbers]", "[quota]\nquantum_seconds = 3\n[numbers]", 1000, "quota.quantum_seconds", "= 4 "),
    ],
)
def test_a_takeover_that_would_come_too_late_is_told(
    folder: Folder, name: str, old: str, new: str, lease_ms: int, key: str, remedy: str
) -> None:
    """Twice a lease must fit before the end of a quota, and before a verdict's deadline; alone there is none."""
    folder.change(name, old, new)
    folder.change("gateway.toml", "[[switch]]", f"[gateway]\nlease_ms = {lease_ms}\n[[switch]]")
    assert folder.check() == []
    folder.change("gateway.toml", '"embedded"', '"redis://127.0.0.1/0"')
    problem = folder.problem()
    assert (problem.is_warning, problem.key) == (True, key)
    assert remedy in problem.remedy


def test_no_tenant_is_a_warning(tmp_path: Path) -> None:
    """A config without tenants can be taken, and says that every metered call will be refused."""
    folder = Folder(tmp_path)
    (folder.root / "tenants").mkdir()
    assert folder.problem().is_warning


@pytest.mark.parametrize("where", ["inline", "file", "url"])
def test_a_secret_that_all_can_read_is_a_warning(folder: Folder, where: str) -> None:
    """A file with a secret that every user of the machine can read is told, with the command that mends it."""
    file = folder.root / "gateway.toml"
    if where == "inline":
        folder.change("gateway.toml", 'secret_env = "PBX1_SECRET"', 'secret = "s3cret"')
    elif where == "file":
        folder.change("gateway.toml", 'secret_env = "PBX1_SECRET"', 'secret_file = "pbx1"')
        file = folder.write("pbx1", "s3cret")
    else:
        folder.change("gateway.toml", '"embedded"', '"redis://:hunter2@127.0.0.1/0"')
    assert folder.check() == []
    file.chmod(0o644)
    problem = folder.problem()
    assert problem.is_warning
    assert problem.file == file
    assert problem.remedy == f"run chmod o-rwx {file}"


def test_a_metered_class_that_no_row_prices_is_told(folder: Folder) -> None:
    """With the tariffs' names and the remedy; it stops nothing, and is not said of a class that is free or barred."""
    folder.change("tariffs/default.csv", "1212,New York,0,0.02,6,6\n", "")
    folder.change("tenants/acme.toml", 'tariff = "default.csv"', 'tariff = "default.csv"\nunmetered_classes = []')
    problem = folder.problem()
    assert (problem.key, problem.line, problem.is_warning) == ("tariff", 2, True)
    assert problem.what.startswith("domestic calls are metered, and no row of default.csv prices one")
    assert 'barred_classes = ["domestic"]' in problem.remedy
    folder.change(
        "tenants/acme.toml", "unmetered_classes = []", 'barred_classes = ["domestic"]\nunmetered_classes = []'
    )
    assert folder.check() == []


def test_a_class_that_the_tariff_lacks_is_told_where_the_plan_says_the_tariff(folder: Folder) -> None:
    """The tenant is named: it is its number plan, its tariffs and its plan together that lack a price."""
    folder.write("plans/p.toml", 'currency = "USD"\ntariff = "home.csv"\n')
    folder.write("tariffs/home.csv", TARIFF.replace("44,United Kingdom", "1,United States"))
    folder.change("tenants/acme.toml", 'tariff = "default.csv"', 'plan = "p.toml"')
    problem = folder.problem()
    assert (problem.file.name, problem.is_warning) == ("acme.toml", True)
    assert "international calls are metered, and no row of home.csv" in problem.what
