"""What those who look on are shown: the last word, by turns, to each as far as it sees."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.core.access import Role, Token
from gateway.core.live_view import ALL_TENANTS, EVERYBODY, TURNS_KEPT, Item, LiveView, is_shown

OF_ALL = Token("all", frozenset({Role.READ}), None, b"")
OF_ACME = Token("acme", frozenset({Role.READ}), frozenset({"acme"}), b"")


def test_what_was_said_before_is_not_said_again() -> None:
    """A turn has what changed in it, and there is none where nothing did."""
    view = LiveView()
    view.put("call", "1", "acme", {"state": "ringing"})
    assert view.turn()
    view.put("call", "1", "acme", {"state": "ringing"})
    assert not view.turn()
    assert view.since(view.number) == []


def test_a_thing_that_changed_twice_in_a_turn_is_told_once() -> None:
    """The last word counts."""
    view = LiveView()
    view.put("call", "1", "acme", {"state": "ringing"})
    view.put("call", "1", "acme", {"state": "answered"})
    view.turn()
    (turn,) = view.since(0) or []
    assert [item.words for item in turn.items] == ['{"state":"answered"}']


def test_what_was_never_there_is_not_told_as_gone() -> None:
    """And what went before anybody was told of it is told as gone, which harms nobody."""
    view = LiveView()
    view.drop("call", "1")
    assert not view.turn()


def test_who_is_too_far_behind_begins_anew() -> None:
    """So does one who names a turn that never was."""
    view = LiveView()
    for number in range(TURNS_KEPT + 2):
        view.put("call", "1", "acme", {"n": number})
        view.turn()
    assert view.since(1) is None
    assert view.since(view.number + 1) is None
    assert len(view.since(2) or []) == TURNS_KEPT


def test_a_tenants_things_are_shown_to_who_sees_it() -> None:
    """What concerns the gateway is shown to who sees all tenants; the gate's word to everybody."""
    seen = {sight: (is_shown(Item("x", "", sight, "{}"), OF_ALL), is_shown(Item("x", "", sight, "{}"), OF_ACME))
            for sight in ("acme", "globex", ALL_TENANTS, EVERYBODY)}  # fmt: skip
    assert seen == {
        "acme": (True, True), "globex": (True, False), ALL_TENANTS: (True, False), EVERYBODY: (True, True),
    }  # fmt: skip


def test_no_tenant_can_be_named_as_what_is_for_everybody() -> None:
    """The marks are no names that config takes."""
    from gateway.settings import is_name  # noqa: PLC0415

    assert not is_name(EVERYBODY)
    assert not is_name(ALL_TENANTS)


STEP = st.tuples(st.sampled_from("pdt"), st.sampled_from("abc"), st.integers(0, 2))


@given(st.lists(STEP, max_size=60), st.integers(0, 20))
def test_who_takes_turns_ends_with_what_there_is(steps: list[tuple[str, str, int]], joins_at: int) -> None:
    """Whenever it came, a snapshot and the turns after it make the same view."""
    view, mine, seen = LiveView(), {}, -1
    for number, (what, key, value) in enumerate([*steps, ("t", "", 0)]):
        if number == min(joins_at, len(steps)):
            seen, mine = view.number, {at: item.words for at, item in view.things.items()}
        if what == "p":
            view.put("call", key, "acme", {"v": value})
        elif what == "d":
            view.drop("call", key)
        else:
            view.turn()
    for turn in view.since(seen) or []:
        for item in turn.items:
            if item.words is None:
                mine.pop((item.kind, item.key), None)
            else:
                mine[item.kind, item.key] = item.words
    assert mine == {at: item.words for at, item in view.things.items()}
