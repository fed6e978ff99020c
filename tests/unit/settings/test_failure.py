"""What [failure] of a tenant's file may say, and what it comes to."""

from pathlib import Path

import pytest

from gateway.core.exposure import TERMINATE, FailureRule, Policy
from gateway.settings import load

from .folder import Folder


def rule_of(folder: Folder, lines: str) -> FailureRule:
    folder.change("tenants/acme.toml", "[recharge]", f"[failure]\n{lines}\n[recharge]")
    return load(folder.root, folder.environ).tenants["acme"].failure


def test_a_tenant_of_which_nothing_is_said_exposes_nothing(tmp_path: Path) -> None:
    """Without [failure] its calls end as ever when the ledger is away."""
    folder = Folder(tmp_path, "acme")
    assert load(folder.root, folder.environ).tenants["acme"].failure == TERMINATE


@pytest.mark.parametrize(
    ("lines", "rule"),
    [
        ('policy = "retry-and-terminate"', FailureRule(Policy.RETRY_AND_TERMINATE)),
        ('policy = "continue"\nexposure = "20.00"', FailureRule(Policy.CONTINUE, 20_000_000)),
        ('policy = "continue"\nexposure_minutes = 30', FailureRule(Policy.CONTINUE, None, 1_800)),
        ('policy = "continue"\nexposure = 0.5\nexposure_minutes = 1', FailureRule(Policy.CONTINUE, 500_000, 60)),
    ],
)
def test_a_rule(tmp_path: Path, lines: str, rule: FailureRule) -> None:
    """Money to the micro-unit, minutes as seconds; what is not said bounds nothing."""
    assert rule_of(Folder(tmp_path, "acme"), lines) == rule


@pytest.mark.parametrize(
    ("lines", "key", "words"),
    [
        ('policy = "continue"', "failure.policy", "write exposure"),
        ('policy = "continue"\nexposure = 0', "failure.exposure", "raise it"),
        ('policy = "continue"\nexposure_minutes = 0', "failure.exposure_minutes", "1 to 1000000"),
        ('exposure = "5.00"', "failure.exposure", 'write policy = "continue"'),
        ('policy = "retry-and-terminate"\nexposure_minutes = 5', "failure.exposure_minutes", "or remove"),
        ('policy = "open"', "failure.policy", "retry-and-terminate"),
    ],
)
def test_what_is_wrong_is_told_with_a_remedy(tmp_path: Path, lines: str, key: str, words: str) -> None:
    """An exposure without a bound, or without a policy that has one, is no config."""
    folder = Folder(tmp_path, "acme")
    folder.change("tenants/acme.toml", "[recharge]", f"[failure]\n{lines}\n[recharge]")
    problem = folder.problem()
    assert problem.key == key
    assert words in str(problem)
