"""The guard's own tools: what is counted, and what is told of it."""

import sys
from typing import Any

from rating import format_amount

from .baseline import call_strays, changes, strays
from .opcodes import counted


def _loop(turns: int) -> int:
    total = 0
    for number in range(turns):
        total += number
    return total


def _among_tests(turns: int) -> int:
    with counted() as count:
        _loop(turns)
    return sum(number for (_, name), number in count.by_function.items() if name == "_loop")


def test_instructions_are_counted_one_by_one() -> None:
    """A hundred more turns of a loop are a hundred times the instructions of one more, and the same each time."""
    one_more = _among_tests(11) - _among_tests(10)
    assert one_more > 3
    assert _among_tests(110) - _among_tests(10) == 100 * one_more
    assert _among_tests(110) == _among_tests(110)


def test_files_are_told_apart() -> None:
    """The project's own instructions are counted by file, and those of tests are not counted at all."""
    with counted() as count:
        format_amount(1_000_000)
        _loop(1_000)
    assert list(count.files()) == ["rating/money.py"]
    assert count.own == count.files()["rating/money.py"] > 0
    assert count.libraries == 0


def test_who_traced_before_goes_on() -> None:
    """A debugger or a coverage tool has its trace function back."""
    before = sys.gettrace()
    with counted():
        pass
    assert sys.gettrace() is before


def test_a_count_strays_both_ways() -> None:
    """A count is told when it is more than 3 % above what it was, or below."""
    assert not strays("x", 103, 100)
    assert not strays("x", 97, 100)
    assert strays("x", 104, 100) == "x: 104 instead of 100, +4.0% (margin 3%)"
    assert strays("x", 96, 100)


def test_a_complaint_names_the_files_that_grew() -> None:
    """Of a call that has grown, the file that grew most is named first, and what to do is said."""
    was = _kind({"gateway/a.py": 100, "gateway/b.py": 100})
    complaint = call_strays("a call", _kind({"gateway/a.py": 101, "gateway/b.py": 120, "gateway/c.py": 3}), was)
    assert complaint.splitlines()[0].startswith("instructions of a call, callgate: 224 instead of 200, +12.0%")
    assert complaint.splitlines()[3:6] == ["  +20 gateway/b.py", "  +3 gateway/c.py", "  +1 gateway/a.py"]
    assert "tests.guard.write" in complaint
    assert not call_strays("a call", was, was)


def test_a_step_that_grows_is_told_where_the_call_hides_it() -> None:
    """A step that takes more is told, though the whole call is within the margin."""
    was = _kind({"gateway/a.py": 1_000})
    found = was | {"steps": {"ask": 500, "end": 520}}
    assert call_strays("a call", found, was).startswith("its end, callgate: 520 instead of 500, +4.0%")


def _kind(files: dict[str, int]) -> dict[str, Any]:
    own = sum(files.values())
    return {"own": own, "libraries": 0, "steps": {"ask": own // 2, "end": own - own // 2}, "files": files}


def test_changes_are_told_by_their_path() -> None:
    """Each figure that has changed, come or gone is told, and no other."""
    assert changes({"a": {"b": 1, "c": 2}, "d": 3}, {"a": {"b": 1, "c": 5}, "e": 4}) == [
        "a/c: 5 -> 2",
        "d: None -> 3",
        "e: 4 -> None",
    ]
