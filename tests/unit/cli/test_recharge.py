"""What a person sees and changes of recharges."""

import json
from pathlib import Path

import pytest

from .test_money import callgate, config, done

__all__ = ["config"]


def test_from_the_rule_to_the_payment(config: Path) -> None:
    """Shown, changed at once, asked for, failed, tried again and answered by hand; the file's rule comes back."""
    assert "armed" in done(config, "recharge", "show", "acme")
    told = json.loads(done(config, "recharge", "set", "acme", "--mode", "level", "--amount", "50.00", "--json"))
    assert (told["rule"]["mode"], told["rule"]["amount_micros"], told["is_by_hand"]) == ("level", 50_000_000, True)
    told = json.loads(done(config, "recharge", "set", "acme", "--forecast-minutes", "30", "--json"))
    assert (told["rule"]["forecast_minutes"], told["rule"]["mode"], told["forecast"]) == (30, "level", None)
    assert "nothing is spent" in done(config, "recharge", "show", "acme")
    # The account is empty: a rule that is changed is judged at once.
    assert "rch_acme_1 of 50.00" in done(config, "recharge", "show", "acme")
    assert done(config, "recharge", "answer", "rch_acme_1", "failed").startswith("acme: failed; balance 0.00")
    assert done(config, "recharge", "retry", "acme").startswith("acme: requested")
    assert done(config, "recharge", "answer", "rch_acme_2", "succeeded").startswith("acme: succeeded; balance 50.00")
    assert "it was so before" in done(config, "recharge", "answer", "rch_acme_2", "succeeded")
    told = json.loads(done(config, "recharge", "set", "acme", "--as-config", "--json"))
    assert (told["rule"]["mode"], told["is_by_hand"]) == ("fixed", False)
    assert done(config, "recharge", "request", "acme").startswith("acme: requested; balance 50.00")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("set", "acme"), "Say what changes"),
        (("set", "acme", "--as-config", "--amount", "30"), "Say what changes"),
        (("set", "acme", "--amount", "9"), "write 10.00 or more"),
        (("set", "acme", "--amount", "many"), "many"),
        (("answer", "acme", "failed"), "write one such as rch_acme_1"),
        (("answer", "rch_acme_7", "failed"), "No recharge with this id was requested"),
        (("retry", "acme"), "nothing to try again"),
        (("request", "globex"), "no automatic recharge"),
    ],
)
def test_what_cannot_be_is_one_sentence(config: Path, words: tuple[str, ...], sentence: str) -> None:
    """And exit code 1."""
    result = callgate(config, "recharge", *words)
    assert result.exit_code == 1
    assert sentence in result.output
    assert "Traceback" not in result.output
