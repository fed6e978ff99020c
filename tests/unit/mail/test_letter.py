"""What a notice says, and that nothing of an event can say more than that."""

import re
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from email import message_from_bytes
from email.policy import default
from html.parser import HTMLParser
from importlib import resources
from string import Template
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.adapters.mail.examples import EXAMPLES, example
from gateway.adapters.mail.figures import MOST_TEXT, Figures, one_line
from gateway.adapters.mail.letter import message, write
from gateway.adapters.mail.words import TEST, case_of, catalogue
from gateway.core.notices import LANGUAGES, Notice, Subscription, notice_of
from gateway.core.tenant import UTC, Tenant
from gateway.ports import OutboxEvent, WaitingMail
from tests.unit.core import build

from .conftest import TenantOf

NOW_MS = 1_795_402_800_000  # 2026-11-23 03:00:00 UTC
HEADERS = {
    "From",
    "To",
    "Subject",
    "Date",
    "Message-ID",
    "Auto-Submitted",
    "Content-Language",
    "MIME-Version",
    "Content-Type",
}


def event(kind: str, **facts: str) -> OutboxEvent:
    money = {"balance": "9990000", "held": "1200000", "available": "8790000"}
    return OutboxEvent("1-0", "evt_acme_1", kind, "acme", NOW_MS, {"tenant": "acme", "currency": "USD"} | money | facts)


def content(language: str) -> dict[str, Any]:
    file = resources.files("gateway.adapters.mail").joinpath(f"{language}.toml")
    return tomllib.loads(file.read_text("utf-8"))


def texts(node: Any, path: str = "") -> Iterator[tuple[str, str]]:
    for name, each in node.items():
        if isinstance(each, dict):
            yield from texts(each, f"{path}{name}.")
        elif isinstance(each, str):
            yield f"{path}{name}", each


class Reader(HTMLParser):
    """The tags, and what is between them."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.said: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        """Keep it."""
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        """Keep its words."""
        self.said += data.split()


def read(html: str) -> Reader:
    reader = Reader()
    reader.feed(html)
    return reader


# ------------------------------------------------------------------------------------------------------------ words


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_has_the_words_of_the_first(language: str) -> None:
    """The same sections, keys and figures stand in each file, so that no notice fails in one language alone."""
    first, other = content(LANGUAGES[0]), content(language)
    assert {name for name, _ in texts(first)} == {name for name, _ in texts(other)}
    for case in EXAMPLES:
        assert first[case]["figures"] == other[case]["figures"]
        wanted, found = (
            {word for key in ("subject", "lead", "advice") for word in Template(each[case][key]).get_identifiers()}
            for each in (first, other)
        )
        assert wanted == found, case


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("case", EXAMPLES)
def test_every_case_reads_whole(tenant_of: TenantOf, case: str, language: str) -> None:
    """No placeholder and no unknown figure is left in an example, and HTML and text say the same words."""
    letter = write(tenant_of(language), example(case, "acme", "USD", NOW_MS), held_back=2)
    for text in (letter.subject, letter.text):
        assert "$" not in re.sub(r"\$(?=[0-9]|US)", "", text)
        assert "?" not in text
    said = read(letter.html).said
    assert letter.subject.split() == said[: len(letter.subject.split())]
    assert sorted({*letter.text.split()} - {*said}) == []


def test_each_notice_has_an_example() -> None:
    """What an admin can choose can be looked at; and each case is a notice, the test apart."""
    assert notice_of("recharge.requested", {"reason": "by_hand"}) is None, "whoever asked for it knows"
    shown = {
        notice_of(kind, {**facts, "paused_until_ms": facts.get("paused_until_ms", "1")})
        for kind, facts in EXAMPLES.values()
    }
    assert shown == {*Notice, None}
    assert [case for case, (kind, facts) in EXAMPLES.items() if notice_of(kind, facts) is None] == [TEST]


def test_an_example_is_told_in_its_own_case() -> None:
    """`callgate mail-test --notice X` shows X."""
    for case in EXAMPLES:
        made = example(case, "acme", "USD", NOW_MS)
        assert case_of(made.type, made.facts) == case


def test_an_unknown_guard_is_named(tenant_of: TenantOf) -> None:
    """A guard that the words do not know yet is told by its own name."""
    told = event("guard.tripped", guard="new_one", target="prefix:53", count="3", window_ms="60000", paused_until_ms="")
    assert 'The guard "new_one" counted 3 within 1 minute.' in write(tenant_of(), told).text


def test_what_an_event_does_not_say_is_a_question_mark(tenant_of: TenantOf) -> None:
    """A notice with a gap is better than none: a later event may have other facts."""
    letter = write(tenant_of(), OutboxEvent("1-0", "e", "recharge.succeeded", "acme", NOW_MS, {}))
    assert letter.subject == "acme: ? added"


def test_french_words_hold_their_signs() -> None:
    """A colon, a question mark or a guillemet begins no line: the space beside it does not break."""
    loose = re.compile(r" [:;!?»]|« |[^\u00a0:/]:(?!/)|[^\u202f]\?|«(?!\u00a0)|(?<!\u00a0)»|'")
    assert [name for name, text in texts(content("fr")) if loose.search(text)] == []


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(
    ("kind", "facts", "said"),
    [
        ("recharge.failed", {"reason": "timeout", "retry_at_ms": "0", "failures": "1"}, "reasons.timeout"),
        ("recharge.exhausted", {"reason": "failures", "until_ms": "", "failures": "3"}, "reasons.failures"),
        ("recharge.exhausted", {"reason": "daily_amount", "until_ms": "", "failures": "0"}, "reasons.daily_amount"),
        ("recharge.exhausted", {"reason": "daily_count", "until_ms": "1", "failures": "0"}, "reasons.daily_count"),
        ("balance.low", {"reason": "refused", "trigger": "1", "call": "a"}, "why.refused"),
    ],
)
def test_reasons_that_are_the_ledgers_own_words_are_sentences(
    tenant_of: TenantOf, language: str, kind: str, facts: dict[str, str], said: str
) -> None:
    """Its code words are not for readers; a payment system's own words stay as they are."""
    words = dict(texts(content(language)))[said].replace("$failures", facts.get("failures", ""))
    letter = write(tenant_of(language), event(kind, recharge_id="rch_acme_1", amount="25000000", **facts))
    assert words in letter.text
    assert "?" not in letter.text


def test_a_request_without_an_amount_asked_for_nothing(tenant_of: TenantOf) -> None:
    """Where a tenant has a trigger and no amount, credit is low and that is all: no recharge is spoken of."""
    letter = write(tenant_of(), event("recharge.requested", amount="", trigger="10000000", reason="crossed"))
    assert "has been asked for" not in letter.text
    assert "no recharge is asked for" in letter.text


# ---------------------------------------------------------------------------------------------------------- figures


@pytest.mark.parametrize(
    ("language", "currency", "shown"),
    [
        ("en", "USD", "$1,234.50"),
        ("en-GB", "USD", "US$1,234.50"),
        ("fr", "EUR", "1\u202f234,50\u00a0€"),
        ("fr-CA", "CAD", "1\u00a0234,50\u00a0$"),
        ("en", "JPY", "¥1,234.5"),
        ("en", "KWD", "KWD1,234.500"),
    ],
)
def test_amounts_are_written_as_the_reader_does(language: str, currency: str, shown: str) -> None:
    """Separators, symbol and places are those of the language, the country and the currency."""
    assert Figures(language, UTC, currency).amount(1_234_500_000) == shown


@given(st.integers(-(2**53) + 1, 2**53 - 1))
def test_an_amount_is_exact(micros: int) -> None:
    """Nothing is rounded away: the digits are those of the micro-units."""
    shown = re.sub(r"[^0-9.-]", "", Figures("en", UTC, "USD").amount(micros))
    whole, _, places = shown.partition(".")
    assert int(whole + places.ljust(6, "0")) == micros


def test_times_are_the_tenants(tenant_of: TenantOf) -> None:
    """The same instant is another day in another place, and its zone is told."""
    told = event("credit.expiring", amount="5000000", expires_at_ms=str(NOW_MS), days="7", lot="1")
    assert "November 23, 2026, 3:00\u202fAM\u00a0UTC" in write(tenant_of(), told).text
    assert "22 November 2026, 22:00\u00a0EST" in write(tenant_of("en-GB", zone="America/New_York"), told).text
    assert "23 novembre 2026, 04:00\u00a0CET" in write(tenant_of("fr", zone="Europe/Paris"), told).text


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0 seconds"),
        (90, "90 seconds"),
        (60, "1 minute"),
        (3540, "59 minutes"),
        (3541, "60 minutes"),
        (7200, "2 hours"),
        (90 * 60, "90 minutes"),
    ],
)
def test_spans(seconds: int, shown: str) -> None:
    """Whole hours, else minutes begun, below two minutes seconds."""
    assert Figures("en", UTC, "USD").span(seconds) == shown


def test_a_limit_of_money_and_one_of_time(tenant_of: TenantOf) -> None:
    """The same facts are amounts in one and minutes in the other."""
    facts = {"limit": "day", "used": "2880000000", "most": "3600000000", "until_ms": str(NOW_MS)}
    assert "$2,880.00 of $3,600.00" in write(tenant_of(), event("limit.warning", **facts, unit="money")).text
    facts |= {"used": "2880", "most": "3600"}
    assert "48 minutes of 1 hour" in write(tenant_of(), event("limit.warning", **facts, unit="time")).text


# ------------------------------------------------------------------------------------------------- a stranger's text

HOSTILE = "x\r\nBcc: victim@example.com\r\n\r\n<script>alert(1)</script>\u202e\x00 $lead ${tenant} {0}"


def mail_of(tenant: Tenant, told: OutboxEvent) -> tuple[Any, str]:
    letter = write(tenant, told)
    made = message(letter, "callgate@example.com", WaitingMail("1-0", "noc@example.com", told))
    return message_from_bytes(made.as_bytes(), policy=default), letter.html


@given(st.text() | st.just(HOSTILE), st.sampled_from(sorted(EXAMPLES)), st.sampled_from(LANGUAGES))
def test_no_fact_makes_a_header_or_a_tag(text: str, case: str, language: str) -> None:
    """Whatever stands in an event's words: the headers are those of every notice, and the tags those of the example."""
    tenant = replace(build.tenant(), tenant_id="acme", notices=Subscription(("noc@example.com",), language))
    fair = example(case, "acme", "USD", NOW_MS)
    words = dict.fromkeys(
        ("reason", "call", "limit", "guard", "country", "target", "why", "event", "recharge_id"), text
    )
    forged = replace(fair, facts={name: words.get(name, fact) for name, fact in fair.facts.items()})
    mail, html = mail_of(tenant, forged)
    assert set(mail.keys()) == HEADERS
    assert mail["To"] == "noc@example.com"
    assert [part.get_content_type() for part in mail.iter_parts()] == ["text/plain", "text/html"]
    allowed = {"html", "head", "meta", "title", "style", "body", "div", "h1", "p", "table", "tr", "th", "td"}
    assert {*read(html).tags} == allowed


def test_an_address_with_a_line_end_is_never_sent(tenant_of: TenantOf) -> None:
    """A header cannot be added by the address either: the mail is not made at all."""
    told = event("recharge.requested", reason="crossed")
    with pytest.raises(ValueError, match=r"linefeed|line"):
        message(write(tenant_of(), told), "callgate@example.com", WaitingMail("1-0", "a@b.c\nBcc: x@y.z", told))


def test_long_text_is_cut() -> None:
    """A payment system's reason of a megabyte is one line of 200 characters."""
    assert len(one_line("ab " * 400_000)) == MOST_TEXT
    assert one_line("a\u2028b\tc\x1b[31m") == "a b c [31m"


def test_lines_fit_any_server(tenant_of: TenantOf) -> None:
    """RFC 5321 lets a line have 998 bytes, and old servers take 7 bits only."""
    told = event("recharge.failed", reason="é" * 190, amount="1")
    raw = message(write(tenant_of("fr"), told), "callgate@example.com", WaitingMail("1-0", "a@b.c", told)).as_bytes()
    assert max(map(len, raw.splitlines())) <= 998
    assert raw.isascii()


def test_the_id_is_the_same_at_each_attempt(tenant_of: TenantOf) -> None:
    """A mail that was taken twice is known by its id; two events have two."""
    told = event("recharge.requested", reason="crossed")
    first, again = (mail_of(tenant_of(), told)[0]["Message-ID"] for _ in range(2))
    assert first == again == "<1-0.evt_acme_1@example.com>"


def test_catalogues_are_read_once() -> None:
    """Words come from disk at the start, not in the midst of calls."""
    assert catalogue("fr") is catalogue("fr")
