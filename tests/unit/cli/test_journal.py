"""A tenant's journal and lots, as a billing clerk looks at them."""

import json
from pathlib import Path

import pytest

from tests.unit.cli.test_money import callgate, config, done

__all__ = ["config"]  # the fixture


@pytest.fixture
def paid(config: Path) -> Path:
    """Two top-ups, and the later one taken back."""
    done(config, "topup", "acme", "25.00", "--id", "one")
    done(config, "topup", "acme", "10.00", "--id", "two", "--expires", "2199-12-31")
    done(config, "reverse", "acme", "two")
    return config


def test_the_journal_has_each_movement_oldest_first(paid: Path) -> None:
    """With the accounts that it moved, and the balance after it."""
    entries = json.loads(callgate(paid, "journal", "acme", "--json").stdout)
    assert [(one["type"], one["call"], one["balance"]) for one in entries] == [
        ("open", "", 0),
        ("topup", "one", 25_000_000),
        ("topup", "two", 35_000_000),
        ("reverse", "two", 25_000_000),
    ]
    told = done(paid, "journal", "acme", "--last", "1")
    assert "reverse" in told
    assert "topup" not in told


def test_the_journal_since_a_time_has_nothing_before_it(paid: Path) -> None:
    """By the tenant's clock, unless the time says its own."""
    assert done(paid, "journal", "acme", "--since", "2198-01-01") == "There are no such entries."
    assert len(json.loads(callgate(paid, "journal", "acme", "--json", "--since", "2020-01-01T00:00Z").stdout)) == 4
    result = callgate(paid, "journal", "acme", "--since", "yesterday")
    assert (result.exit_code, "is no time; write one as" in result.output) == (1, True)


def test_a_tenant_without_an_account_has_no_journal(config: Path) -> None:
    """One sentence says so."""
    result = callgate(config, "journal", "acme")
    assert (result.exit_code, "has no account" in result.output) == (1, True)


def test_lots_show_what_is_left_and_when_it_expires(paid: Path) -> None:
    """What was taken back is no lot any more."""
    assert "1 25.00 0.00 20" in done(paid, "lots", "acme")
    assert [lot["free_micros"] for lot in json.loads(callgate(paid, "lots", "acme", "--json").stdout)] == [25_000_000]
    assert done(paid, "lots", "globex") == "There are no funds."
