"""The demo's tenants and phones are what they are said to be."""

import itertools

import pytest

from gateway.core.access import Role
from gateway.core.call import Terms
from gateway.core.decide import Deny, Pass, decide
from gateway.core.facts import Ask
from gateway.core.reasons import Reason
from gateway.demo.tenants import TENANTS, write_config
from gateway.demo.traffic import Kind, plan
from gateway.settings import Settings, load
from rating import INTERNATIONAL_CLASSES, CallClass


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """The demo's own config, read as any other."""
    folder = tmp_path_factory.mktemp("config")
    write_config(
        folder,
        switch="demo",
        port=5038,
        secret='a "secret"',
        webhook_url="http://127.0.0.1:1",
        tokens={Role.READ: "cg_1"},
    )
    return load(folder)


def test_the_config_is_right_and_without_warnings(settings: Settings) -> None:
    """The demo writes a config that callgate check finds nothing wrong with."""
    assert not settings.warnings
    assert set(settings.tenants) == {tenant.name for tenant in TENANTS}
    assert settings.switches[0].secret == 'a "secret"'


def test_the_same_seed_makes_the_same_calls() -> None:
    """Traffic depends on its seed alone."""
    first, again, other = (list(itertools.islice(plan(seed), 200)) for seed in (7, 7, 8))
    assert first == again
    assert first != other
    assert [call.at_seconds for call in first] == sorted(call.at_seconds for call in first)


def test_every_kind_of_call_is_decided_as_it_is_meant(settings: Settings) -> None:
    """Each planned number is of the class, or refused for the reason, that its kind says."""
    wanted = {
        Kind.TOLL_FREE: CallClass.TOLL_FREE,
        Kind.INTERNATIONAL: "abroad",
        Kind.DOMESTIC: Pass,
        Kind.EMERGENCY: Pass,
        Kind.NOT_PRICED: Reason.NO_RATE,
        Kind.NO_NUMBER: Reason.BAD_NUMBER,
        Kind.STRANGER: Reason.UNKNOWN_TENANT,
    }
    seen = set()
    for call in itertools.islice(plan(1), 3000):
        ask = Ask("demo", "1.1", "1", call.number, call.tenant, "", call.cli, 0)
        match decide(ask, settings.tenants.get(call.tenant), 2000, lambda _: False):
            case Terms(destination=destination):
                decided: object = (
                    "abroad" if destination.call_class in INTERNATIONAL_CLASSES else destination.call_class
                )
            case Deny(reason=reason):
                decided = reason
            case Pass():
                decided = Pass
        assert decided == wanted[call.kind], call
        seen.add(call.kind)
    assert seen == set(Kind)
