"""What a right config becomes."""

from pathlib import Path

import pytest

from gateway.core.recharge import Mode, RechargeRule
from gateway.core.tenant import NEVER_METERED, DialFormat
from gateway.settings import ConfigErrors, check, load
from rating import CallClass
from tests.unit.settings.folder import HOOK_SECRET, TENANT, Folder

CONFIG = Path(__file__).parents[3] / "config"


def test_a_right_folder_has_no_problem(folder: Folder) -> None:
    """A right config has neither an error nor a warning."""
    assert folder.check() == []


def test_values_arrive(folder: Folder) -> None:
    """What stands in the files is what the settings hold, amounts in micro-units."""
    settings = load(folder.root, folder.environ)
    (switch,) = settings.switches
    tenant = settings.tenants["acme"]
    assert (switch.name, switch.host, switch.port, switch.secret) == ("pbx1", "127.0.0.1", 5038, "a secret")
    assert (tenant.tenant_id, tenant.currency, tenant.accountcodes) == ("acme", "USD", ("acme",))
    assert tenant.recharge == RechargeRule(Mode.FIXED, 10_000_000, 25_000_000)
    assert tenant.webhook_secrets == (HOOK_SECRET,)
    assert tenant.tariffs.lookup("+18005551234") is not None


def test_all_that_is_written_goes_below_one_folder(folder: Folder) -> None:
    """But what has a place of its own."""
    text = (folder.root / "gateway.toml").read_text()
    (folder.root / "gateway.toml").write_text(
        f'state_dir = "/var/lib/callgate"\n{text}\n[journal]\ndir = "/srv/journal"\n'
    )
    settings = load(folder.root, folder.environ)
    state = Path("/var/lib/callgate")
    assert (settings.redis.data_dir, settings.ledger.queue_dir) == (state / "redis", state / "unsettled")
    assert (settings.api.audit_file, settings.control_socket.parent) == (state / "api-audit.jsonl", state / "unsettled")
    assert settings.journal.folder == Path("/srv/journal")


def test_defaults(folder: Folder) -> None:
    """What is not said is: embedded books beside the config folder, loopback, 2 s, prepaid, a minute at a time."""
    settings = load(folder.root, folder.environ)
    tenant = settings.tenants["acme"]
    assert settings.redis.is_embedded
    assert settings.redis.data_dir == folder.root.parent / ".callgate" / "redis"
    assert (settings.ledger.sync, settings.ledger.replicas) == (True, 0)
    assert settings.ledger.queue_dir == folder.root.parent / ".callgate" / "unsettled"
    assert settings.journal.is_archived
    assert settings.journal.folder == folder.root.parent / ".callgate" / "journal"
    assert settings.journal.file_bytes == 64 * 2**20
    assert (settings.http.host, settings.http.port) == ("127.0.0.1", 9464)
    assert settings.verdict_deadline_ms == 2000
    assert tenant.credit_limit_micros == 0
    assert (tenant.quantum_seconds, tenant.extend_lead_ms, tenant.dial_timeout_seconds) == (60, 5000, 120)
    assert tenant.dial_format is DialFormat.DIALLED


def test_unmetered_by_default(folder: Folder) -> None:
    """All classes are metered but emergency, internal, domestic and short codes."""
    tenant = load(folder.root, folder.environ).tenants["acme"]
    assert set(CallClass) - tenant.metered_classes == {
        CallClass.EMERGENCY,
        CallClass.INTERNAL,
        CallClass.DOMESTIC_FIXED,
        CallClass.DOMESTIC_MOBILE,
        CallClass.SHORT_CODE,
    }


def test_a_word_for_two_classes_or_the_name_of_one(folder: Folder) -> None:
    """In the list of what costs nothing, domestic means fixed and mobile; an exact class means that one alone."""
    for words, free in (
        ('["domestic"]', {CallClass.DOMESTIC_FIXED, CallClass.DOMESTIC_MOBILE}),
        ('["domestic_fixed", "toll_free"]', {CallClass.DOMESTIC_FIXED, CallClass.TOLL_FREE}),
        ("[]", set()),
    ):
        folder.write("tenants/acme.toml", f"unmetered_classes = {words}\n" + TENANT.format(name="acme"))
        tenant = load(folder.root, folder.environ).tenants["acme"]
        assert set(CallClass) - NEVER_METERED - tenant.metered_classes == free


def test_how_a_tenant_dials(folder: Folder) -> None:
    """The area code, the local length and the classes by prefix arrive in the tenant's number plan."""
    numbers = '''trunk_prefix = "1"
local_area_code = "212"
local_lengths = [7]
[numbers.classes]
"1787" = "domestic_fixed"
44845 = "shared_cost"'''
    folder.change("tenants/acme.toml", 'trunk_prefix = "1"', numbers)
    plan = load(folder.root, folder.environ).tenants["acme"].plan
    assert plan.resolve("5550123").e164 == "+12125550123"
    assert plan.resolve("17872345678").call_class is CallClass.DOMESTIC_FIXED
    assert plan.resolve("011448451234567").call_class is CallClass.SHARED_COST


def test_paths_do_not_depend_on_the_working_folder(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative config folder and a relative data folder become absolute: no second set of books is opened."""
    monkeypatch.chdir(folder.root)
    settings = load(Path(), folder.environ)
    assert settings.redis.data_dir == folder.root.parent / ".callgate" / "redis"


@pytest.mark.parametrize("text", ["0.1", '"0.1"', "0.10", '"0.100000"', '".1"'])
def test_money_is_exact(folder: Folder, text: str) -> None:
    """A TOML float of 0.1 is read as exactly one tenth, as the string is."""
    folder.change("tenants/acme.toml", 'tariff = "default.csv"', f'tariff = "default.csv"\ncredit_limit = {text}')
    assert load(folder.root, folder.environ).tenants["acme"].credit_limit_micros == 100_000


def test_a_large_decimal_keeps_every_digit(folder: Folder) -> None:
    """An amount with sixteen digits, which a double cannot hold, is read to the micro-unit."""
    folder.change("tenants/acme.toml", "amount = 25.00", "amount = 9007199254.740991")
    rule = load(folder.root, folder.environ).tenants["acme"].recharge
    assert rule is not None
    assert rule.amount_micros == 2**53 - 1


def test_several_webhook_secrets(folder: Folder) -> None:
    """While a secret is rotated, both are kept, in their order."""
    other = HOOK_SECRET.replace("MfKQ", "NfKQ")
    folder.change("tenants/acme.toml", 'secret_env = "HOOK_SECRETS"', 'secret_file = "hook"')
    folder.write("hook", f"{other}\n{HOOK_SECRET}\n")
    assert load(folder.root, folder.environ).tenants["acme"].webhook_secrets == (other, HOOK_SECRET)


def test_a_secret_in_a_file_loses_its_newline(folder: Folder) -> None:
    """What an editor adds to the end of a secret's file is no part of the secret."""
    folder.change("gateway.toml", 'secret_env = "PBX1_SECRET"', 'secret_file = "pbx1"')
    folder.write("pbx1", "s3cret word\r\n")
    assert load(folder.root, {**folder.environ}).switches[0].secret == "s3cret word"


def test_secrets_are_not_shown(folder: Folder) -> None:
    """The text form of settings, as a log may hold it, has no secret and no Redis password in it."""
    folder.change("gateway.toml", '"embedded"', '"redis://:hunter2@127.0.0.1/0"')
    text = repr(load(folder.root, folder.environ))
    assert not any(secret in text for secret in ("a secret", HOOK_SECRET, "hunter2"))


def test_one_tariff_is_read_once(tmp_path: Path) -> None:
    """Tenants with the same tariff share it in memory."""
    folder = Folder(tmp_path, "acme", "globex")
    tenants = load(folder.root, folder.environ).tenants
    assert tenants["acme"].tariffs.tariffs[0] is tenants["globex"].tariffs.tariffs[0]


def test_a_byte_order_mark_and_windows_lines(folder: Folder) -> None:
    """A file saved by a Windows editor is read like any other."""
    text = (folder.root / "tenants/acme.toml").read_text()
    folder.write("tenants/acme.toml", ("\ufeff" + text).replace("\n", "\r\n").encode())
    assert folder.check() == []


def test_load_raises_all_and_only_for_errors(folder: Folder) -> None:
    """A warning alone does not stop the gateway; an error does, and carries the warnings with it."""
    folder.change("gateway.toml", "[[switch]]", "[verdict]\ndeadline_ms = 2900\n\n[[switch]]")
    settings = load(folder.root, folder.environ)
    assert [warning.key for warning in settings.warnings] == ["verdict.deadline_ms"]
    folder.change("tenants/acme.toml", '"USD"', '"USX"')
    with pytest.raises(ConfigErrors) as caught:
        load(folder.root, folder.environ)
    assert [problem.key for problem in caught.value.problems] == ["verdict.deadline_ms", "currency"]
    assert str(folder.root / "tenants/acme.toml") + ":1: currency: " in str(caught.value)


def test_the_examples_work() -> None:
    """The config that is shipped has no error, and warns of its public secrets alone."""
    problems = check(CONFIG, {})
    assert all("secret of the example" in problem.what for problem in problems)
    settings = load(CONFIG, {})
    assert set(settings.tenants) == {"acme", "globex"}
    assert settings.tenants["acme"].recharge is not None
    assert settings.tenants["acme"].webhook_url.startswith("http://127.0.0.1:")


@pytest.mark.parametrize("area", [1800, 888, 877, 866, 855, 844, 833])
def test_the_shipped_tariff_prices_toll_free(area: int) -> None:
    """Each North American toll-free code is metered for the American tenant and has its own price."""
    tenant = load(CONFIG, {}).tenants["acme"]
    destination = tenant.plan.resolve(f"1{str(area).removeprefix('1')}5551212")
    rate = tenant.tariffs.lookup(destination.e164)
    assert destination.call_class is CallClass.TOLL_FREE
    assert rate is not None
    assert rate.prefix == f"1{str(area).removeprefix('1')}"


def test_the_shipped_tariff_knows_the_caribbean() -> None:
    """A Jamaican number is no American one, though it begins with 1: it has its own, dearer price."""
    tenant = load(CONFIG, {}).tenants["acme"]
    destination = tenant.plan.resolve("18765551212")
    jamaica, home = tenant.tariffs.lookup(destination.e164), tenant.tariffs.lookup("+12125551212")
    assert destination.call_class is CallClass.INTERNATIONAL_MOBILE
    assert jamaica is not None
    assert home is not None
    assert jamaica.per_minute > 10 * home.per_minute


@pytest.mark.parametrize(
    "content",
    ["s3cret", "s3cret\n", "secret = s3cret\n", "secret=s3cret", "Secret => s3cret ; of pbx1\r\n"],
)
def test_the_secret_file_may_be_the_one_of_asterisk(folder: Folder, content: str) -> None:
    """A secret_file holds the secret alone, or the one line of callgate-secret.conf: both are the same secret."""
    folder.change("gateway.toml", 'secret_env = "PBX1_SECRET"', 'secret_file = "pbx1"')
    folder.write("pbx1", content)
    (switch,) = load(folder.root, folder.environ).switches
    assert switch.secret == "s3cret"


def test_private_webhooks_are_taken_where_the_gateway_allows_them(folder: Folder) -> None:
    """For all tenants alike; the gateway's own section says so."""
    folder.change("tenants/acme.toml", "http://127.0.0.1:8787/hook", "https://10.0.0.9/hook")
    folder.write("gateway.toml", (folder.root / "gateway.toml").read_text() + "\n[webhook]\nallow_private = true\n")
    settings = load(folder.root, folder.environ)
    assert settings.webhook.allow_private
    assert settings.tenants["acme"].webhook_url == "https://10.0.0.9/hook"
