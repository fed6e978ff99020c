"""The examples of config/mail/README.md are what is sent."""

from dataclasses import replace
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from gateway.adapters.mail.examples import EXAMPLES, example
from gateway.adapters.mail.letter import Letter, write
from gateway.core.notices import Notice, Subscription
from tests.unit.core import build

README = Path(__file__).parents[3] / "config/mail/README.md"
BEGINS = "## What each says\n"
NOON_MS = int(datetime(2026, 11, 23, 12, tzinfo=ZoneInfo("Europe/Paris")).timestamp() * 1000)
IN_FRENCH = ("recharge_requested", "funds_expired", "quarantined")
PICTURE = README.parent / "notice.png"
MOST_PICTURE_BYTES = 100_000


def letter_of(case: str, language: str) -> Letter:
    """One of them, as a tenant in Paris gets it."""
    notices = Subscription(("noc@example.com",), language)
    tenant = replace(build.tenant(), tenant_id="acme", currency="EUR", zone=ZoneInfo("Europe/Paris"), notices=notices)
    return write(tenant, example(case, "acme", "EUR", NOON_MS))


def shown(case: str, language: str) -> str:
    """One of them: its subject, and its text."""
    letter = letter_of(case, language)
    kind, _ = EXAMPLES[case]
    of_event = "" if case == "test" else f", of `{kind}`"
    return (
        f"### {case}{of_event}{' (fr)' * (language == 'fr')}\n\n```\n{letter.subject}\n\n{letter.text.strip()}\n```\n"
    )


def examples() -> str:
    """All of them."""
    english = [shown(case, "en-GB") for case in EXAMPLES]
    return "\n".join(english + [shown(case, "fr") for case in IN_FRENCH])


def test_its_examples_are_current() -> None:
    """One of each case, in English, and some in French. To write them anew: python -m tests.unit.mail.test_readme."""
    assert README.read_text("utf-8").partition(BEGINS)[2].strip() == examples().strip()


def test_it_names_each_notice() -> None:
    """What can be chosen stands in the table."""
    text = README.read_text("utf-8").partition(BEGINS)[0]
    assert [name for name in Notice if f"| `{name}` |" not in text] == []


def test_its_picture_is_there_and_small() -> None:
    """A reader of the README loads it each time. To draw it anew: make mail-picture."""
    assert f"({PICTURE.name})" in README.read_text("utf-8")
    assert PICTURE.stat().st_size < MOST_PICTURE_BYTES


if __name__ == "__main__":
    README.write_text(README.read_text("utf-8").partition(BEGINS)[0] + BEGINS + "\n" + examples(), "utf-8")
