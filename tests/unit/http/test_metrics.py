"""What Prometheus reads, parsed by its own client's parser."""

import re
import threading
from dataclasses import dataclass, field, replace
from itertools import pairwise

import pytest
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from gateway.adapters.ami.stats import Lags
from gateway.adapters.metrics import PrometheusWatch
from gateway.adapters.metrics.words import DECISIONS, EVENT_TYPES, LABEL_LIMIT, LEDGER_FUNCTIONS
from gateway.adapters.redis.functions import library_code
from gateway.core.cdr import CallRecord
from gateway.core.reasons import Reason
from gateway.core.tenant import Inbound, Tenant
from gateway.ports import Happening, Watch
from rating import NumberPlan, TariffChain, read_tariff

TARIFF = "prefix,destination,connect_fee,rate_per_minute,initial_increment,increment\n1,US,0,1,60,60\n"
Labels = dict[str, str]


def tenant(name: str, currency: str = "USD") -> Tenant:
    """A tenant of that name."""
    plan = NumberPlan("US", ("011",), "1", (), ())
    return Tenant(tenant_id=name, currency=currency, plan=plan, tariffs=TariffChain((read_tariff(TARIFF, "t"),)))


def closed(
    name: str, call_class: str, micros: int, seconds: int, came_in_on: str = "", currency: str = "USD"
) -> CallRecord:
    """A call that was answered, and is over."""
    return CallRecord(
        call_id="pbx1/1.2/3",
        switch="pbx1",
        tenant=name,
        cli="",
        dialled="",
        e164=came_in_on,
        call_class=call_class,
        outcome="settled",
        reason="",
        asked_at_ms=1_000,
        answered_at_ms=2_000,
        ended_at_ms=2_000 + seconds * 1000,
        billsec=seconds,
        granted_seconds=seconds,
        extensions=0,
        charged_micros=micros,
        balance_micros=0,
        currency=currency,
        prefix="1",
        leg="1.3",
        cause_q850=16,
        was_cut=False,
        direction="inbound" if came_in_on else "outbound",
    )


def samples(watch: PrometheusWatch) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """All that a scrape shows, by name and labels."""
    text = watch.render()[0].decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(watch: PrometheusWatch, name: str, **labels: str) -> float | None:
    """One series; None when it is not there."""
    return samples(watch).get((name, tuple(sorted(labels.items()))))


@dataclass
class Link:
    """A link's counters, as an adapter for AMI keeps them."""

    messages: int = 0
    dropped: int = 0
    doubts: int = 0
    last_message_at: float = 0.0
    is_logged_in: bool = False
    clock_offset_seconds: float = 0.0
    lags: Lags = field(default_factory=Lags)


def test_it_is_a_watch() -> None:
    """It can stand where the service layer wants a Watch, as mypy sees, and counts there."""

    def somewhere(watch: Watch) -> None:
        watch.fault("doubt")

    watch = PrometheusWatch()
    somewhere(watch)
    assert value(watch, "callgate_faults_total", where="doubt") == 1


def test_a_verdict_is_counted_and_timed() -> None:
    """A verdict counts under tenant, decision and reason, and its time falls into the histogram."""
    watch = PrometheusWatch([tenant("acme")])
    watch.authorized("acme", "allow", "ok", 0.00071)
    watch.authorized("acme", "deny", "no_credit", 0.3)
    name = "callgate_authorizations_total"
    assert value(watch, name, tenant="acme", decision="allow", reason="ok") == 1
    assert value(watch, name, tenant="acme", decision="deny", reason="no_credit") == 1
    assert value(watch, "callgate_authorization_seconds_count") == 2
    assert value(watch, "callgate_authorization_seconds_sum") == pytest.approx(0.30071)
    assert value(watch, "callgate_authorization_seconds_bucket", le="0.0006") == 0
    assert value(watch, "callgate_authorization_seconds_bucket", le="0.0008") == 1


def test_the_histogram_is_fine_around_a_millisecond() -> None:
    """Between 0.4 and 2 ms a bucket ends at most half above where it begins; the range is 0.2 ms to 2.5 s."""
    bounds = sorted(
        float(dict(labels)["le"])
        for name, labels in samples(PrometheusWatch())
        if name == "callgate_authorization_seconds_bucket"
    )
    assert bounds[0] == 0.0002
    assert bounds[-2:] == [2.5, float("inf")]
    near = [bound for bound in bounds if 0.0004 <= bound <= 0.002]
    assert all(upper <= lower * 1.5 for lower, upper in pairwise(near))


def test_an_unsent_verdict_is_counted_and_not_timed() -> None:
    """A late ask counts, and does not make the verdicts look faster or slower than they were."""
    watch = PrometheusWatch()
    watch.authorized("", "late", "verdict_late", 0.0)
    labels = {"tenant": "other", "decision": "late", "reason": "verdict_late"}
    assert value(watch, "callgate_authorizations_total", **labels) == 1
    assert value(watch, "callgate_authorization_seconds_count") == 0


def test_series_exist_from_the_start() -> None:
    """Before any call there is a zero for every decision, refusal, switch, event and ledger function."""
    watch = PrometheusWatch([tenant("acme")], ["pbx1"])
    found = samples(watch)
    for name in ("acme", "other"):
        for decision, reason in [("allow", "ok"), ("pass", "unmetered"), *(("deny", str(r)) for r in Reason)]:
            labels = {"tenant": name, "decision": decision, "reason": reason}
            assert found["callgate_authorizations_total", tuple(sorted(labels.items()))] == 0
    assert value(watch, "callgate_calls_live", switch="pbx1") == 0
    labels = {"tenant": "acme", "call_class": "toll_free", "direction": "outbound", "currency": "USD"}
    assert value(watch, "callgate_charged_total", **labels) == 0
    assert value(watch, "callgate_refunded_total", **labels) == 0
    del labels["currency"]
    for name in ("call_attempts", "calls_answered", "talked_seconds", "billed_seconds"):
        assert value(watch, f"callgate_{name}_total", **labels) == 0
    for name in ("acme", "other"):
        assert value(watch, "callgate_recharges_total", tenant=name, state="exhausted") == 0
        assert value(watch, "callgate_restraints_total", tenant=name, kind="by_hand") == 0
    assert value(watch, "callgate_extensions_total", switch="pbx1", result="final") == 0
    assert value(watch, "callgate_cuts_total", switch="pbx1", reason="no_credit") == 0
    for event_type in EVENT_TYPES:
        assert value(watch, "callgate_webhook_attempts_total", type=event_type, result="failed") == 0
    for function in LEDGER_FUNCTIONS:
        assert value(watch, "callgate_ledger_call_errors_total", function=function) == 0
        assert value(watch, "callgate_ledger_call_seconds_count", function=function) == 0


def test_the_ledger_functions_are_those_of_the_library() -> None:
    """Each function that the ledger's Lua library registers has its series from the start, and no other has."""
    registered = re.findall(r"^register\('(\w+)'", library_code(), re.MULTILINE)
    assert registered
    assert set(LEDGER_FUNCTIONS) == set(registered)


def test_a_made_up_tenant_makes_no_series() -> None:
    """Ten thousand tenants that a caller makes up are one series, and do not push out a tenant of the config."""
    watch = PrometheusWatch([tenant("acme")])
    before = len(samples(watch))
    for number in range(10_000):
        watch.authorized(f"evil{number}", "deny", "unknown_tenant", 0.001)
        watch.closed(closed(f"evil{number}", "toll_free", 1, 1), 0)
    watch.set_tenants([tenant("acme"), tenant("late")])
    watch.authorized("late", "allow", "ok", 0.001)
    labels = {"tenant": "other", "decision": "deny", "reason": "unknown_tenant"}
    assert value(watch, "callgate_authorizations_total", **labels) == 10_000
    assert value(watch, "callgate_authorizations_total", tenant="late", decision="allow", reason="ok") == 1
    own = sum("late" in dict(labels).values() for _, labels in samples(watch))
    assert len(samples(watch)) - own - before < 10


def test_tenants_beyond_the_limit_are_other() -> None:
    """Only the first tenants of the config have a label; the rest are summed."""
    watch = PrometheusWatch([tenant(f"t{number}") for number in range(5)], tenant_limit=2)
    for number in range(5):
        watch.authorized(f"t{number}", "allow", "ok", 0.001)
        watch.closed(closed(f"t{number}", "toll_free", 1_000_000, 60), 0)
    name = "callgate_authorizations_total"
    assert value(watch, name, tenant="t1", decision="allow", reason="ok") == 1
    assert value(watch, name, tenant="t2", decision="allow", reason="ok") is None
    assert value(watch, name, tenant="other", decision="allow", reason="ok") == 3
    labels = {"tenant": "other", "call_class": "toll_free", "direction": "outbound", "currency": "USD"}
    assert value(watch, "callgate_charged_total", **labels) == 3


def test_labels_are_bounded() -> None:
    """Reasons, places, event types, classes and functions that nobody knows end in one series, other."""
    watch = PrometheusWatch()
    for number in range(1000):
        watch.authorized("", f"d{number}", f"r{number}", 0.001)
        watch.fault(f"f{number}")
        watch.delivered(f"e{number}", is_acknowledged=True)
        watch.closed(closed("", f"c{number}", 1, 1), 0)
        watch.ledger_called(f"l{number}", 0.001)
    assert len(samples(watch)) < 3000
    assert (value(watch, "callgate_faults_total", where="other") or 0) > 900


def test_money_is_shown_in_units_of_its_currency() -> None:
    """Charges are summed in units, apart by currency, and seconds beside them."""
    watch = PrometheusWatch([tenant("acme"), tenant("globex", "GBP")])
    watch.closed(closed("acme", "toll_free", 20_000, 60), 0)
    watch.closed(closed("acme", "toll_free", 1_480_000, 61), 0)
    watch.closed(closed("globex", "international_fixed", 2_000_000, 30, currency="EUR"), 0)
    charged = "callgate_charged_total"
    acme = {"tenant": "acme", "call_class": "toll_free", "direction": "outbound"}
    globex = {"tenant": "globex", "call_class": "international_fixed", "direction": "outbound"}
    assert value(watch, charged, **acme, currency="USD") == pytest.approx(1.5)
    assert value(watch, charged, **globex, currency="GBP") == 2
    assert value(watch, "callgate_billed_seconds_total", **acme) == 121


def test_calls_that_come_in_are_told_by_direction_and_number() -> None:
    """From the start for owned numbers; what somebody outside makes up is one series, other."""
    owner = replace(tenant("acme"), inbound=Inbound(frozenset({"+18005551234"})))
    watch = PrometheusWatch([owner])
    verdicts, number = "callgate_inbound_authorizations_total", {"tenant": "acme", "number": "+18005551234"}
    assert value(watch, verdicts, **number, decision="deny") == 0
    before = len(samples(watch))
    watch.authorized("acme", "allow", "ok", 0.001, "+18005551234")
    watch.closed(closed("acme", "toll_free", 1_500_000, 90, "+18005551234"), 0)
    assert value(watch, verdicts, **number, decision="allow") == 1
    assert value(watch, "callgate_inbound_charged_total", **number, currency="USD") == pytest.approx(1.5)
    assert value(watch, "callgate_inbound_billed_seconds_total", **number) == 90
    labels = {"tenant": "acme", "call_class": "toll_free", "direction": "inbound"}
    assert value(watch, "callgate_billed_seconds_total", **labels) == 90
    assert len(samples(watch)) == before
    for made_up in range(1000):
        watch.authorized("", "deny", "not_owned", 0.001, f"+1800{made_up:07}")
    assert value(watch, verdicts, tenant="other", number="other", decision="deny") == 1000
    assert len(samples(watch)) - before < 10


def test_asr_and_acd_are_quotients_of_what_is_counted() -> None:
    """A call that nobody answered is an attempt; talked seconds are those of the PBX, whatever is billed."""
    watch = PrometheusWatch([tenant("acme")])
    talked = replace(closed("acme", "toll_free", 60_000, 60), ended_at_ms=2_000 + 12_345)
    watch.closed(talked, 5_000)
    watch.closed(replace(talked, outcome="released", answered_at_ms=0, billsec=0, charged_micros=0), 0)
    acme = {"tenant": "acme", "call_class": "toll_free", "direction": "outbound"}
    names = ("call_attempts", "calls_answered", "talked_seconds", "billed_seconds")
    assert [value(watch, f"callgate_{name}_total", **acme) for name in names] == [2, 1, 12.345, 60]
    assert value(watch, "callgate_refunded_total", currency="USD", **acme) == 0.005


def test_what_happens_is_counted_where_it_happened() -> None:
    """A tenant by its label; a word that nobody knows is bounded."""
    watch = PrometheusWatch([tenant("acme"), tenant("globex")], ["pbx1"], tenant_limit=1)
    watch.happened(Happening.RECHARGE, "acme", "failed")
    watch.happened(Happening.RECHARGE, "globex", "failed")
    watch.happened(Happening.CUT, "pbx1", "no_credit")
    for number in range(2 * LABEL_LIMIT):
        watch.happened(Happening.CUT, "pbx1", f"because {number}")
    assert value(watch, "callgate_recharges_total", tenant="acme", state="failed") == 1
    assert value(watch, "callgate_recharges_total", tenant="other", state="failed") == 1
    assert value(watch, "callgate_cuts_total", switch="pbx1", reason="no_credit") == 1
    cuts = [labels for name, labels in samples(watch) if name == "callgate_cuts_total"]
    assert len(cuts) == LABEL_LIMIT + 1


def test_a_refused_reload_shows_until_the_next_one_is_taken() -> None:
    """The old config is in force meanwhile."""
    watch = PrometheusWatch()
    shown = []
    for is_taken in (True, False, True):
        watch.config_read(is_taken=is_taken)
        shown.append(value(watch, "callgate_config_last_reload_successful"))
    assert shown == [1, 0, 1]


def test_a_negative_charge_is_a_fault() -> None:
    """A counter cannot go down: a negative charge is counted as a fault and raises nothing."""
    watch = PrometheusWatch()
    watch.closed(closed("", "toll_free", -1, 1), 0)
    assert value(watch, "callgate_faults_total", where="metrics") == 1


def test_counters_survive_a_change_of_config() -> None:
    """A tenant that leaves the config and comes back goes on where it was."""
    watch = PrometheusWatch([tenant("acme")])
    watch.authorized("acme", "allow", "ok", 0.001)
    watch.set_tenants([tenant("globex")])
    watch.set_tenants([tenant("acme")])
    watch.authorized("acme", "allow", "ok", 0.001)
    assert value(watch, "callgate_authorizations_total", tenant="acme", decision="allow", reason="ok") == 2


def test_a_tenant_that_gets_a_place_is_shown() -> None:
    """A tenant that was summed as other has a label of its own once a change of config makes room for it."""
    watch = PrometheusWatch([tenant("acme")], tenant_limit=1)
    watch.set_tenants([tenant("acme"), tenant("globex")])
    watch.authorized("globex", "allow", "ok", 0.001)
    watch._tenant_limit = 2
    watch.set_tenants([tenant("acme"), tenant("globex")])
    watch.authorized("globex", "allow", "ok", 0.001)
    assert value(watch, "callgate_authorizations_total", tenant="globex", decision="allow", reason="ok") == 1


def test_webhooks_faults_and_calls() -> None:
    """Attempts count by result, faults by place, and live calls are what was said last."""
    watch = PrometheusWatch()
    watch.delivered("recharge.requested", is_acknowledged=True)
    watch.delivered("recharge.requested", is_acknowledged=False)
    watch.fault("unpaid_leg")
    watch.calls_live("pbx1", 7)
    watch.calls_live("pbx1", 3)
    attempts = "callgate_webhook_attempts_total"
    assert value(watch, attempts, type="recharge.requested", result="acknowledged") == 1
    assert value(watch, attempts, type="recharge.requested", result="failed") == 1
    assert value(watch, "callgate_faults_total", where="unpaid_leg") == 1
    assert value(watch, "callgate_calls_live", switch="pbx1") == 3


def test_ledger_calls() -> None:
    """A ledger step is timed under its name, and counted as an error only when it had no answer."""
    watch = PrometheusWatch()
    watch.ledger_called("reserve", 0.0003)
    watch.ledger_called("reserve", 1.0, is_error=True)
    assert value(watch, "callgate_ledger_call_seconds_count", function="reserve") == 2
    assert value(watch, "callgate_ledger_call_errors_total", function="reserve") == 1


def test_links_are_read_at_each_scrape() -> None:
    """A switch is up when all its links are; what they count is summed, and its last message is the later one."""
    watch = PrometheusWatch()
    events, actions = Link(messages=10, dropped=2, doubts=1, last_message_at=99.5, is_logged_in=True), Link()
    watch.watch_links("pbx1", lambda: [events, actions])
    assert value(watch, "callgate_ami_up", switch="pbx1") == 0
    actions.is_logged_in = True
    actions.messages = 5
    assert value(watch, "callgate_ami_up", switch="pbx1") == 1
    assert value(watch, "callgate_ami_messages_total", switch="pbx1") == 15
    assert value(watch, "callgate_ami_messages_dropped_total", switch="pbx1") == 2
    assert value(watch, "callgate_ami_doubts_total", switch="pbx1") == 1
    assert value(watch, "callgate_ami_last_event_timestamp_seconds", switch="pbx1") == 99.5


def test_a_switch_without_links_is_down() -> None:
    """A switch that has no link yet is shown as down, not as up for want of a link that is not."""
    watch = PrometheusWatch()
    watch.watch_links("pbx1", list)
    assert value(watch, "callgate_ami_up", switch="pbx1") == 0


def test_a_label_cannot_forge_a_line() -> None:
    """A tenant or switch with quotes and line breaks in its name stays one label value."""
    watch = PrometheusWatch()
    watch.calls_live('a"} 1\ncallgate_forged_total 5\n', 1)
    assert value(watch, "callgate_forged_total") is None
    assert value(watch, "callgate_calls_live", switch='a"} 1\ncallgate_forged_total 5\n') == 1


def test_conventions() -> None:
    """Every counter ends in _total, times are in seconds, our names begin with callgate_, nothing is _created."""
    watch = PrometheusWatch([tenant("acme")], ["pbx1"])
    watch.watch_links("pbx1", lambda: [Link()])
    text = watch.render()[0].decode()
    kinds = re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE)
    assert kinds
    for name, kind in kinds:
        assert name.startswith(("callgate_", "process_"))
        assert (kind == "counter") == name.endswith("_total")
        assert not re.search(r"_(ms|micros|millis|minutes)(_|$)", name)
    assert "_created" not in text
    assert value(watch, "process_cpu_seconds_total") is not None
    assert any(name == "callgate_build_info" for name, _ in samples(watch))


def test_openmetrics() -> None:
    """A scraper that asks for OpenMetrics gets what OpenMetrics' own strict parser reads."""
    watch = PrometheusWatch([tenant("acme")], ["pbx1"])
    body, content_type = watch.render("application/openmetrics-text; version=1.0.0")
    assert content_type.startswith("application/openmetrics-text")
    families = list(openmetrics.text_string_to_metric_families(body.decode()))  # type: ignore[no-untyped-call]
    assert "callgate_authorizations" in {family.name for family in families}


def test_two_watches_do_not_meet() -> None:
    """There is no global registry: two watches in one process count apart."""
    first, second = PrometheusWatch(), PrometheusWatch()
    first.fault("doubt")
    assert value(second, "callgate_faults_total", where="doubt") == 0


def test_a_scrape_beside_counting() -> None:
    """Scrapes in another thread lose no count, while new series come up."""
    watch = PrometheusWatch([tenant(f"t{number}") for number in range(50)])
    stop = threading.Event()
    failed: list[BaseException] = []

    def scrape() -> None:
        try:
            while not stop.is_set():
                watch.render()
        except BaseException as error:  # noqa: BLE001 - whatever it is, the test is to show it
            failed.append(error)

    thread = threading.Thread(target=scrape)
    thread.start()
    for number in range(5000):
        watch.authorized(f"t{number % 50}", DECISIONS[number % 4], f"r{number % 40}", 0.001)
        watch.calls_live(f"pbx{number % 300}", 1)
    stop.set()
    thread.join()
    assert failed == []
    counted = [v for (name, _), v in samples(watch).items() if name == "callgate_authorizations_total"]
    assert sum(counted) == 5000


def test_what_waits_for_webhooks_is_shown() -> None:
    """All four figures are there from the start, and are those of the last sweep."""
    watch = PrometheusWatch()
    names = ("outbox_events", "outbox_oldest_age_seconds", "outbox_dead_events", "webhooks_disabled")
    assert [watch.registry.get_sample_value(f"callgate_{name}") for name in names] == [0, 0, 0, 0]
    watch.outbox_waits(waiting=3, oldest_seconds=7.5, dead=2, disabled=1)
    assert [watch.registry.get_sample_value(f"callgate_{name}") for name in names] == [3, 7.5, 2, 1]


def test_what_waits_for_payment_programs_is_shown() -> None:
    """From the start, and beside what waits for webhooks."""
    watch = PrometheusWatch()
    names = ("payments_waiting", "payments_oldest_age_seconds", "outbox_events")
    assert [watch.registry.get_sample_value(f"callgate_{name}") for name in names] == [0, 0, 0]
    watch.payments_wait(2, 7.5)
    assert [watch.registry.get_sample_value(f"callgate_{name}") for name in names] == [2, 7.5, 0]


def test_how_long_verdicts_take_has_a_call_as_an_example() -> None:
    """In OpenMetrics alone; a call without an id, or with one that is too long for it, is counted all the same."""
    watch = PrometheusWatch()
    for call in ("pbx1/1795412120.7/42", "", "x" * 500):
        watch.authorized("acme", "allow", "ok", 0.0007, "", call)
    about = 'callgate_authorization_seconds_bucket{le="0.0008"} 3.0'
    openmetrics = watch.render("application/openmetrics-text; version=1.0.0")[0].decode()
    (line,) = [line for line in openmetrics.splitlines() if line.startswith(about)]
    assert line.startswith(about + ' # {call="pbx1/1795412120.7/42"} 0.0007 ')
    assert "# {call=" not in watch.render()[0].decode()
