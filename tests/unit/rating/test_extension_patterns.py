"""Extension patterns mean what they mean to Asterisk, and are bounded."""

import re

import pytest

from rating.extension_patterns import PatternError, compile_pattern


@pytest.mark.parametrize(
    ("pattern", "matching", "others"),
    [
        ("700", ["700"], ["70", "7000", "701"]),
        ("*97", ["*97"], ["997", "97"]),
        ("_XXX", ["000", "999"], ["99", "9999", "99*"]),
        ("_1ZN", ["112", "199"], ["102", "111", "212"]),
        ("_xzn", ["012"], ["002"]),
        ("_[2-5]X", ["20", "59"], ["19", "60"]),
        ("_[2-59*]X#", ["90#", "*0#", "31#"], ["60#", "30", "-0#"]),
        ("_+1X", ["+10"], ["110", "10"]),
    ],
)
def test_matches_what_asterisk_matches(pattern, matching, others):
    """A pattern matches exactly the numbers that Asterisk's rules give it."""
    expression = re.compile(compile_pattern(pattern))
    assert all(expression.fullmatch(number) for number in matching)
    assert not any(expression.fullmatch(number) for number in others)


@pytest.mark.parametrize(
    ("pattern", "part"),
    [
        ("_X.", "unbounded"),
        ("_X!", "unbounded"),
        ("_.", "unbounded"),
        ("", "no extension"),
        ("12a", "no extension"),
        ("_", "not understood"),
        ("_[]", "not understood"),
        ("_[2-", "not understood"),
        ("_XX-XX", "not understood"),
        ("_X{9}", "not understood"),
        ("_X\n", "not understood"),
        ("_[5-2]", "write 2-5"),
        ("_" + "X" * 80, "more than 80"),
    ],
)
def test_refuses_what_is_unbounded_or_not_understood(pattern, part):
    """A pattern that could match anything, or that two readers could read differently, is refused."""
    with pytest.raises(PatternError, match=part):
        compile_pattern(pattern)
