"""What a step takes does not depend on how much else there is."""

from typing import Any

import pytest

from .measure import measured

# Ratio of the larger to the smaller.
MOST = {"extension": 1.02, "ask": 1.02, "look-up": 1.3}


@pytest.fixture(scope="module")
def growth() -> dict[str, Any]:
    """Instructions beside how many live calls, tenants, and prefixes."""
    return measured("growth")


@pytest.mark.parametrize("what", MOST)
def test_a_step_takes_the_same_among_many(growth: dict[str, Any], what: str) -> None:
    """An extension among 2,000 live calls, an ask among 2,000 tenants, a look-up among 40,000 prefixes."""
    (few, least), (many, most) = growth[what]
    assert least > 100
    assert many >= 40 * few
    assert most <= MOST[what] * least, f"{what}: {least:,} instructions with {few:,}, {most:,} with {many:,}"
