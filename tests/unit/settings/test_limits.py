"""Bars, limits and guards in a tenant's file and its plan's: what is in force, and what is told of a bad one."""

from fractions import Fraction
from pathlib import Path

import pytest

from gateway.core.guards import Guard, Target
from gateway.core.limits import OPEN_HOURS, Per
from gateway.core.tenant import Tenant
from gateway.settings import load
from rating import CallClass, Prefixes

from .folder import ENVIRON, Folder

ACME, PLAN = "tenants/acme.toml", "plans/guarded.toml"


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """One tenant, acme, on a plan that says nothing yet."""
    folder = Folder(tmp_path, "acme")
    folder.change(ACME, 'tariff = "default.csv"', 'tariff = "default.csv"\nplan = "guarded.toml"')
    folder.write(PLAN, 'currency = "USD"\n')
    return folder


def plan(folder: Folder, text: str) -> None:
    folder.write(PLAN, f'currency = "USD"\n{text}\n')


def tenants_own(folder: Folder, text: str) -> None:
    """Add to the tenant's file: sections at its end, or keys at its head."""
    old = (folder.root / ACME).read_text()
    folder.write(ACME, f"{old}\n{text}\n" if text.startswith("[") else f"{text}\n{old}")


def acme(folder: Folder) -> Tenant:
    return load(folder.root, ENVIRON).tenants["acme"]


# ------------------------------------------------------------------------------------------------ in force


def test_a_tenants_limit_goes_before_the_plans_of_the_same_name(folder: Folder) -> None:
    """As a whole; those of other names hold too."""
    plan(
        folder,
        '[[limit]]\nname = "all"\nconcurrent_calls = 5\nspend_per_day = 10\n[[limit]]\nname = "two"\ncall_seconds = 60',
    )
    tenants_own(folder, '[[limit]]\nname = "all"\nconcurrent_calls = 9\n[[limit]]\nname = "own"\ncalls_per_minute = 2')
    limits = {limit.name: limit for limit in acme(folder).limits}
    assert set(limits) == {"all", "two", "own"}
    assert (limits["all"].concurrent_calls, limits["all"].spend_per_day_micros) == (9, None)
    assert limits["two"].call_seconds == 60


def test_each_key_of_a_limit_is_read(folder: Folder) -> None:
    """Money in units of the currency, minutes as seconds, hours by the tenant's clock."""
    tenants_own(
        folder,
        """[[limit]]
name = "risky"
classes = ["premium", "satellite"]
prefixes = ["53"]
per = "cli"
concurrent_calls = 1
calls_per_second = 2
calls_per_minute = 3
spend_per_call = "4.00"
spend_per_hour = 5.5
spend_per_day = 6
spend_per_month = "7.000001"
minutes_per_day = 8
call_seconds = 9
rate_per_minute = 0.123
hours = ["Mon-Fri 08:00-18:00", "Sat 09:00-12:00"]
outside_hours = 0.25
""",
    )
    (limit,) = acme(folder).limits
    assert (limit.classes, limit.prefixes) == ({CallClass.PREMIUM, CallClass.SATELLITE}, Prefixes.of(["53"]))
    assert (limit.per, limit.concurrent_calls, limit.calls_per_second, limit.calls_per_minute) == (Per.CLI, 1, 2, 3)
    money = (limit.spend_per_call_micros, limit.spend_per_hour_micros, limit.spend_per_day_micros)
    assert (*money, limit.spend_per_month_micros) == (4_000_000, 5_500_000, 6_000_000, 7_000_001)
    assert (limit.seconds_per_day, limit.call_seconds) == (480, 9)
    assert (limit.rate_per_minute, limit.outside) == (Fraction(123, 1000), Fraction(1, 4))
    assert limit.hours is not None
    assert limit.hours.bands_at(1_795_536_000_000) == {OPEN_HOURS}  # Tuesday 2026-11-24 16:00 UTC


def test_a_tenants_guard_goes_before_the_plans_and_others_stay(folder: Folder) -> None:
    """Each by its own section; off takes the plan's back."""
    plan(
        folder,
        """[guards.refusals]
count = 10
window_seconds = 60
[guards.short_calls]
count = 5
window_seconds = 600
[guards.new_country]
then = "hold"
known = ["GB"]""",
    )
    tenants_own(
        folder, '[guards.refusals]\nthen = "off"\n[guards.sequence]\ncount = 4\nwindow_seconds = 9\nthen = "tell"'
    )
    guards = acme(folder).guards
    assert guards.refusals is None
    assert guards.short_calls is not None
    assert (guards.short_calls.target, guards.short_calls.pause_seconds) == (Target.PREFIX, 300)
    assert guards.shorter_than_seconds == 10
    assert guards.sequence is not None
    assert (guards.sequence.count, guards.sequence.pause_seconds) == (4, None)
    assert (guards.tells_new_country, guards.holds_new_country, guards.known_countries) == (True, True, {"GB"})


def test_a_guard_until_a_person_lifts_it_and_one_of_the_whole_tenant(folder: Folder) -> None:
    """0 has no end."""
    tenants_own(folder, '[guards.refusals]\ncount = 3\nwindow_seconds = 9\npauses = "tenant"\npause_seconds = 0')
    assert acme(folder).guards.refusals == Guard("refusals", 3, 9, Target.TENANT, 0)


def test_bars_are_the_tenants_or_the_plans_key_by_key(folder: Folder) -> None:
    """An empty list takes the plan's back."""
    plan(folder, 'barred_prefixes = ["882"]\nallowed_prefixes = ["8816"]\nstrict_allow_lists = true')
    tenants_own(folder, "allowed_prefixes = []\nstrict_allow_lists = false")
    barring = acme(folder).barring
    assert (barring.prefixes, barring.allowed_prefixes) == (Prefixes.of(["882"]), Prefixes())
    assert not barring.is_strict


def test_a_file_of_prefixes_is_added_to_those_of_the_limit(folder: Folder) -> None:
    """One on a line, with or without its +; notes after a comma, comments and a heading are no prefixes."""
    folder.write("lists/risk.csv", "prefix,country\n53,Cuba\n\n# Africa\n+252 , Somalia\n881 # satellites\n53,again\n")
    tenants_own(folder, '[[limit]]\nname = "x"\nprefixes = ["44"]\nprefixes_file = "risk.csv"\nper = "prefix"')
    (limit,) = acme(folder).limits
    assert limit.prefixes == Prefixes.of(["44", "53", "252", "881"])


# ------------------------------------------------------------------------------------------------ what is told


@pytest.mark.parametrize(
    ("text", "key", "line", "remedy"),
    [
        ("[[limit]]\nconcurrent_calls = 5", "limit[1].name", 2, "write name = "),
        ('[[limit]]\nname = "a b"', "limit[1].name", 3, "letters, digits"),
        ('[[limit]]\nname = "a|b"', "limit[1].name", 3, "letters, digits"),
        ('[[limit]]\nname = "x"\nconcurent_calls = 5', "limit[1].concurent_calls", 4, "did you mean"),
        ('[[limit]]\nname = "x"\nconcurrent_calls = 0', "limit[1].concurrent_calls", 4, "how many calls at once"),
        ('[[limit]]\nname = "x"\nconcurrent_calls = 10001', "limit[1].concurrent_calls", 4, "how many calls at once"),
        ('[[limit]]\nname = "x"\nconcurrent_calls = true', "limit[1].concurrent_calls", 4, "how many calls at once"),
        ('[[limit]]\nname = "x"\ncalls_per_minute = "5"', "limit[1].calls_per_minute", 4, "calls_per_minute = 30"),
        ('[[limit]]\nname = "x"\nspend_per_day = -1', "limit[1].spend_per_day", 4, ""),
        ('[[limit]]\nname = "x"\nspend_per_day = "ten"', "limit[1].spend_per_day", 4, ""),
        ('[[limit]]\nname = "x"\nspend_per_day = 0.0000001', "limit[1].spend_per_day", 4, ""),
        ('[[limit]]\nname = "x"\nminutes_per_day = 0', "limit[1].minutes_per_day", 4, "minutes a day"),
        ('[[limit]]\nname = "x"\ncall_seconds = 1.5', "limit[1].call_seconds", 4, "how long one call may last"),
        ('[[limit]]\nname = "x"\nrate_per_minute = "1,50"', "limit[1].rate_per_minute", 4, ""),
        ('[[limit]]\nname = "x"\nrate_per_minute = true', "limit[1].rate_per_minute", 4, "0.50"),
        ('[[limit]]\nname = "x"\nclasses = ["premum"]', "limit[1].classes[1]", 4, "write one of"),
        ('[[limit]]\nname = "x"\nprefixes = ["+44"]', "limit[1].prefixes[1]", 4, "without their +"),
        ('[[limit]]\nname = "x"\nprefixes = [44]', "limit[1].prefixes[1]", 4, "without their +"),
        ('[[limit]]\nname = "x"\nper = "prefix"', "limit[1].per", 4, "write prefixes"),
        ('[[limit]]\nname = "x"\nper = "phone"', "limit[1].per", 4, "tenant, cli, class or prefix"),
        ('[[limit]]\nname = "x"\nhours = ["8 to 6"]', "limit[1].hours", 4, "Mon-Fri 08:00-18:00"),
        ('[[limit]]\nname = "x"\noutside_hours = 0.5', "limit[1].outside_hours", 4, "hours = ["),
        ('[[limit]]\nname = "x"\noutside_hours = 2\nhours = ["Mon 08:00-09:00"]', "limit[1].outside_hours", 4, "0 to"),
        ('[[limit]]\nname = "x"\n[[limit]]\nname = "x"', "limit[2].name", 5, "a name of its own"),
        ('[[limit]]\nname = "x"\nprefixes_file = "gone.csv"', "", None, "write the file, or name another one"),
        ("[guards.refusals]\ncount = 5", "guards.refusals", 2, "write window_seconds"),
        ("[guards.refusals]\nwindow_seconds = 5", "guards.refusals", 2, "write count"),
        ("[guards.refusals]\ncount = 1\nwindow_seconds = 5", "guards.refusals.count", 3, "2 to 1000"),
        ('[guards.refusals]\ncount = 3\nwindow_seconds = 5\npauses = "prefix"', "guards.refusals.pauses", 5, "cli or"),
        ("[guards.sequence]\ncount = 3\nwindow_seconds = 5\npauses = 1", "guards.sequence.pauses", 5, "cli, prefix"),
        ("[guards.refusal]\ncount = 3", "guards.refusal", 2, 'did you mean "refusals"?'),
        ('[guards.new_country]\nthen = "tell"\nknown = ["Germany"]', "guards.new_country.known[1]", 4, "ISO 3166"),
        ('[guards.new_country]\nthen = "pause"', "guards.new_country.then", 3, "off, tell"),
    ],
)  # fmt: skip
def test_each_bad_word_is_told_with_file_line_key_and_remedy(
    folder: Folder, text: str, key: str, line: int | None, remedy: str
) -> None:
    """One problem each, in the plan's file as in the tenant's."""
    plan(folder, text)
    problem = folder.problem()
    assert problem.file.name in {"guarded.toml", "gone.csv"}
    assert (problem.key, problem.line) == (key, line)
    assert remedy in problem.remedy, str(problem)
    assert not problem.is_warning


def test_bounds_that_a_limit_of_the_same_name_takes_away_are_told(folder: Folder) -> None:
    """Who raises one bound of a plan's limit would else lose the others unseen; a bound that is repeated is none."""
    plan(folder, '[[limit]]\nname = "all"\nconcurrent_calls = 5\nspend_per_day = 10\ncall_seconds = 60')
    tenants_own(folder, '[[limit]]\nname = "all"\nconcurrent_calls = 9\ncall_seconds = 90')
    problem = folder.problem()
    assert problem.is_warning
    assert (problem.file.name, problem.key) == ("acme.toml", "limit[1].name")
    assert "also has spend_per_day, and" in problem.what


@pytest.mark.parametrize(("known", "is_told"), [("", True), ('known = ["DE"]', True), ('known = ["US"]', False)])
@pytest.mark.parametrize("where", ["plan", "tenant"])
def test_a_hold_that_holds_the_home_country_is_told(folder: Folder, where: str, known: str, is_told: bool) -> None:
    """Of whoever said it, as each first call at home would be refused."""
    (plan if where == "plan" else tenants_own)(folder, f'[guards.new_country]\nthen = "hold"\n{known}')
    told = [(one.key, one.what) for one in load(folder.root, ENVIRON).warnings if "are held" in one.what]
    key = "plan" if where == "plan" else "guards.new_country"
    assert told == ([(key, "calls to US are held too, where they are metered, until a person allows it")] * is_told)


@pytest.mark.parametrize("key", ["barred_classes", "allowed_classes"])
@pytest.mark.parametrize("word", ["emergency", "internal"])
def test_a_list_of_classes_that_always_pass_is_told(folder: Folder, key: str, word: str) -> None:
    """Nothing can bar them, and nothing has to allow them."""
    plan(folder, f'{key} = ["{word}"]')
    problem = folder.problem()
    assert (problem.key, problem.line, problem.remedy) == (key, 2, "remove them")


@pytest.mark.parametrize(
    ("content", "line", "told"),
    [
        ("53\n044\n", 2, "'044' begins no number"),
        ("53\nCuba\n", 2, "from the country code on"),
        ("prefix\nprefix\n", 2, "begins no number"),
        ("53;Cuba\n", 1, "begins no number"),
        ("5" * 16, 1, "1 to 15 digits"),
    ],
)
def test_a_bad_line_of_a_list_is_told_with_its_number(folder: Folder, content: str, line: int, told: str) -> None:
    """In the list's own file."""
    file = folder.write("lists/risk.csv", content)
    plan(folder, '[[limit]]\nname = "x"\nprefixes_file = "risk.csv"')
    problem = folder.problem()
    assert (problem.file, problem.line) == (file, line)
    assert told in str(problem)


@pytest.mark.parametrize("content", [b"53\n\xff\xfe\n", b"5\x003\n", b"5" * (5 * 1024 * 1024)])
def test_a_list_that_is_no_list_is_told_in_one_sentence(folder: Folder, content: bytes) -> None:
    """What was uploaded by mistake."""
    folder.write("lists/risk.csv", content)
    plan(folder, '[[limit]]\nname = "x"\nprefixes_file = "risk.csv"')
    assert len(str(folder.problem())) < 500


def test_a_list_that_two_tenants_name_is_told_once(folder: Folder) -> None:
    """It is read once."""
    folder.write("tenants/globex.toml", (folder.root / ACME).read_text().replace('["acme"]', '["globex"]'))
    folder.write("lists/risk.csv", "x\n")
    plan(folder, '[[limit]]\nname = "x"\nprefixes_file = "risk.csv"')
    assert folder.problem().line == 1


@pytest.mark.parametrize("own", ["", 'prefixes = ["53"]\n'])
def test_a_list_is_there_once_however_many_tenants_have_it(folder: Folder, own: str) -> None:
    """A carrier's list has thousands of prefixes, and a plan thousands of tenants."""
    folder.write("tenants/globex.toml", (folder.root / ACME).read_text().replace('["acme"]', '["globex"]'))
    folder.write("lists/risk.csv", "252\n")
    plan(folder, f'[[limit]]\nname = "x"\nprefixes_file = "risk.csv"\n{own}')
    tenants = load(folder.root, ENVIRON).tenants
    (one,), (other,) = tenants["acme"].limits, tenants["globex"].limits
    assert one.prefixes is other.prefixes
    assert one.prefixes.longest("+25261") == "252"
