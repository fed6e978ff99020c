"""What a reload would change, in values that are in force."""

from gateway.settings import Settings, load
from gateway.settings.changes import Change, Difference, difference
from gateway.settings.resolve import InForce
from tests.unit.settings.folder import HOOK_SECRET, TENANT, Folder


def read(folder: Folder, before: Settings | None = None) -> Settings:
    return load(folder.root, folder.environ, before)


def after(folder: Folder, now: Settings) -> Difference:
    """Against the folder as it is."""
    return difference(InForce(now).gateway(), now, read(folder, now))


def told(found: Difference) -> list[str]:
    return [str(change) for change in found.changes]


def test_nothing_but_a_comment_is_no_change(folder: Folder) -> None:
    """Values count, not texts: no tenant is touched."""
    now = read(folder)
    folder.write("tenants/acme.toml", "# a word\n" + TENANT.format(name="acme"))
    assert after(folder, now) == Difference((), ())


def test_a_value_of_a_tenant(folder: Folder) -> None:
    """Before and after are told, amounts in units of the currency; a key that was a default is one like others."""
    now = read(folder)
    folder.change("tenants/acme.toml", "amount = 25.00", "amount = 50.00\n[quota]\nquantum_seconds = 30")
    found = after(folder, now)
    assert found.changes == (
        Change("acme", "quota.quantum_seconds", 60, 30),
        Change("acme", "recharge.amount", "25.00", "50.00"),
    )
    assert [tenant.tenant_id for tenant in found.tenants] == ["acme"]
    assert told(found)[1] == "tenant acme: recharge.amount: 25.00 -> 50.00"


def test_a_plans_value_changes_its_tenants(folder: Folder) -> None:
    """Each tenant that has the plan is told of, by itself, and no other."""
    folder.write("plans/p.toml", 'currency = "USD"\n')
    folder.write("tenants/two.toml", 'plan = "p.toml"\n' + TENANT.format(name="two"))
    now = read(folder)
    folder.write("plans/p.toml", 'currency = "USD"\ncredit_limit = 5\nbarred_classes = ["premium"]\n')
    assert told(after(folder, now)) == [
        "tenant two: barred_classes: [] -> [premium]",
        "tenant two: credit_limit: 0.00 -> 5.00",
    ]


def test_a_tariffs_rows(folder: Folder) -> None:
    """A price that changes is told as another sum of the file, also where charges are rounded to a unit."""
    folder.write("tenants/acme.toml", 'charge_unit = "0.01"\n' + TENANT.format(name="acme"))
    now = read(folder)
    assert after(folder, now).tenants == ()
    folder.change("tariffs/default.csv", "1800,Toll-free,0,0.02,60,60", "1800,Toll-free,0,0.03,60,60")
    assert [change.key for change in after(folder, now).changes] == ["tariff[1].sha256"]


def test_tenants_come_and_go(folder: Folder) -> None:
    """A new one is one to open an account for; one that has left is told, and is none of those."""
    now = read(folder)
    (folder.root / "tenants/acme.toml").unlink()
    folder.write("tenants/globex.toml", TENANT.format(name="globex"))
    found = after(folder, now)
    assert told(found) == ["tenant acme: leaves", "tenant globex: is new"]
    assert [tenant.tenant_id for tenant in found.tenants] == ["globex"]


def test_a_secret_changes_unseen(folder: Folder) -> None:
    """That it is another one is told, though the file is the same; neither of them is."""
    now = read(folder)
    other = HOOK_SECRET.replace("MfKQ", "NfKQ")
    folder.environ["HOOK_SECRETS"] = other
    found = after(folder, now)
    assert told(found) == ["tenant acme: webhook.secrets: (hidden) -> (hidden)"]
    assert HOOK_SECRET not in repr(found.changes)
    assert other not in repr(found.changes)


def test_a_key_in_a_webhooks_path_changes_unseen(folder: Folder) -> None:
    """A reload logs what it changes, and the path of a hook is often all that keeps others from it."""
    now = read(folder)
    folder.change("tenants/acme.toml", "http://127.0.0.1:8787/hook", "http://127.0.0.1:8787/services/T0KEN")
    shown = "http://127.0.0.1:8787/…"
    assert told(after(folder, now)) == [f"tenant acme: webhook.url: {shown} -> {shown}"]


def test_a_switchs_secret_in_the_environment_changes_unseen(folder: Folder) -> None:
    """It needs a restart, and says so."""
    now = read(folder)
    folder.environ["PBX1_SECRET"] = "hunter2"
    assert told(after(folder, now)) == ["gateway.toml: switch.pbx1.secret: (hidden) -> (hidden) (only after a restart)"]


def test_what_needs_a_restart_says_so_until_it_is_done(folder: Folder) -> None:
    """A key that a reload does not apply is compared with the config that the gateway was started with."""
    started = read(folder)
    folder.change("gateway.toml", "[[switch]]", "[verdict]\ndeadline_ms = 1500\n[http]\nport = 9000\n[[switch]]")
    first = read(folder, started)
    found = difference(InForce(started).gateway(), started, first)
    assert told(found) == [
        "gateway.toml: verdict.deadline_ms: 2000 -> 1500",
        "gateway.toml: http.port: 9464 -> 9000 (only after a restart)",
    ]
    again = difference(InForce(started).gateway(), first, read(folder, first))
    assert (again.needs_restart, len(again.changes)) == (("http.port",), 1)


def test_a_switch_that_comes_needs_a_restart(folder: Folder) -> None:
    """All its keys are named; its secret is not shown."""
    now = read(folder)
    more = '[[switch]]\nname = "pbx2"\nhost = "127.0.0.1"\nsecret = "hunter2"\n'
    folder.write("gateway.toml", (folder.root / "gateway.toml").read_text() + more)
    found = after(folder, now)
    assert "switch.pbx2.host" in found.needs_restart
    assert "hunter2" not in repr(found.changes)
