"""Numbers as they are shown to whom they do not concern."""

import pytest

from gateway.core.masking import masked, masked_in


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        ("+442079460123", "+44********23"),
        ("+18005551212", "+1********12"),
        ("+35312345678", "+353******78"),
        ("02079460123", "*********23"),  # of some country
        ("+99912345678", "+*********78"),  # of none
        ("+29012345", "+290*****"),  # all too few to show any
        ("2001", "****"),
        ("112", "***"),
        ("", ""),
        ("Ann Smith", "***"),
        ("sip:ann@example.com", "***"),
        ("\u0662\u0660\u0660\u0661\u0662\u0663\u0664\u0665", "***"),
        ("+44 20 7946 0123", "***"),
        ("+", "***"),
    ],
)
def test_a_number_shows_its_country_and_two_digits(number: str, shown: str) -> None:
    """At least four are hidden, and what is no number is hidden as a whole."""
    assert masked(number) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("PJSIP/+442079460123@carrier", "PJSIP/+44********23@carrier"),
        ("Local/02079460123@callgate-0000001f;1", "Local/*********23@callgate-0000001f;1"),
        ("pbx1/1795412120.712/unasked", "pbx1/1795412120.712/unasked"),
        ("east-1795412120.712", "east-1795412120.712"),
        ("21795412120.712 is no Uniqueid", "*********20.712 is no Uniqueid"),
        ("2026-11-23T12:18:08.123456Z", "2026-11-23T12:18:08.123456Z"),
        ("200 calls in 86400 s", "200 calls in 86400 s"),
    ],
)
def test_a_text_shows_no_number(text: str, shown: str) -> None:
    """But Uniqueids and times are left."""
    assert masked_in(text) == shown
