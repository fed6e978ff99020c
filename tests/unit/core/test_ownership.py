"""Who gets which switch: the table of one, and what gateways wish of all of them."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.ownership import (
    DEAF_MS,
    EVEN_OUT_MS,
    SECOND_CHOICE_MS,
    SWITCH,
    TABLE,
    Lease,
    Member,
    Move,
    Role,
    Stand,
    Turn,
    Want,
    Wish,
    advance,
    wishes,
)

LONG = EVEN_OUT_MS


def names(count: int) -> list[str]:
    return [f"{SWITCH}pbx{number}" for number in range(count)]


def member(name: str, count: int = 1, **facts: object) -> Member:
    """A gateway that hears all switches."""
    return replace(Member(name, hears=frozenset(names(count)), left_ms=600), **facts)  # type: ignore[arg-type]


def stand(name: str, owner: str = "", me: str = "east", **facts: object) -> Stand:
    """A switch as one gateway has it."""
    lease = Lease(name, owner, is_mine=owner == me, fence=1, left_ms=500 if owner else 0)
    return replace(Stand(lease), **facts)  # type: ignore[arg-type]


def wish(me: Member, others: list[Member], one: Stand, unchanged_ms: int = LONG) -> Want:
    (found,) = wishes(me, others, [one], unchanged_ms)
    return found


# ------------------------------------------------------------------------------------------------------- the table


def test_the_common_way() -> None:
    """Taken, owned, handed over, given last."""
    role, done = Role.STANDBY, []
    for turn in (Turn.WON, Turn.TAKEN_BACK, Turn.HAND_OVER, Turn.FINISHED):
        role, moves = advance(role, turn)
        done += [*moves, role]
    assert done == [
        Move.TAKE_BACK, Role.TAKING, Role.OWNER, Move.FINISH, Role.HANDING, Move.LET_GO, Move.GIVE, Role.STANDBY,
    ]  # fmt: skip


@pytest.mark.parametrize("role", [Role.TAKING, Role.OWNER, Role.HANDING])
def test_who_loses_a_switch_lets_go_of_its_calls(role: Role) -> None:
    """Whatever it was about; and gives nothing, which is not its own."""
    assert advance(role, Turn.LOST) == (Role.STANDBY, (Move.LET_GO,))


@pytest.mark.parametrize("role", [Role.TAKING, Role.OWNER, Role.HANDING])
def test_another_fence_means_that_somebody_else_had_it(role: Role) -> None:
    """Or that the server has lost the lease: the books are looked at anew, and nothing is let go of before."""
    assert advance(role, Turn.WON) == (Role.TAKING, (Move.TAKE_BACK,))


@given(st.lists(st.sampled_from(Turn), max_size=30))
def test_calls_are_held_by_who_owns_the_switch_and_by_nobody_else(turns: list[Turn]) -> None:
    """In any order of news; and never is a switch given that was not let go."""
    role, is_held = Role.STANDBY, False
    for turn in turns:
        role, moves = advance(role, turn)
        for move in moves:
            if move is Move.LET_GO:
                assert is_held
                is_held = False
            elif move is Move.TAKE_BACK:
                is_held = True
            elif move is Move.GIVE:
                assert not is_held
        assert is_held == (role is not Role.STANDBY)


def test_news_that_come_twice_change_nothing() -> None:
    """What is not in the table is no fault."""
    for role in Role:
        for turn in Turn:
            if (role, turn) not in TABLE:
                assert advance(role, turn) == (role, ())


# ---------------------------------------------------------------------------------------------------- free switches


def test_one_that_is_alone_takes_what_is_free_at_once() -> None:
    """If it hears it; else it could not serve it."""
    (name,) = names(1)
    assert wish(member("east"), [], stand(name)).wish is Wish.OWN
    assert wish(member("east", hears=frozenset()), [], stand(name)).wish is Wish.LOOK


def test_one_that_is_owned_is_looked_at() -> None:
    """However long its owner has had it."""
    assert wish(member("east"), [member("west")], stand(names(1)[0], "west")).wish is Wish.LOOK


@pytest.mark.parametrize(
    ("mine", "its", "first"),
    [((0, "east"), (0, "west"), "east"), ((5, "east"), (4, "west"), "west"), ((5, "a"), (5, "b"), "a")],
)
def test_a_free_switch_is_for_who_has_the_fewest_calls_then_for_the_first_by_name(
    mine: tuple[int, str], its: tuple[int, str], first: str
) -> None:
    """And both of them think so."""
    one, two = (member(name, calls=calls) for calls, name in (mine, its))
    (name,) = names(1)
    found = {me.name: wish(me, [other], stand(name, me=me.name)).wish for me, other in ((one, two), (two, one))}
    assert [name for name, wished in found.items() if wished is Wish.OWN] == [first]


def test_the_second_choice_takes_it_a_moment_later() -> None:
    """The first may be dead as well, and not known to be."""
    (name,) = names(1)
    late = stand(name, free_ms=SECOND_CHOICE_MS)
    assert wish(member("west"), [member("east")], late).wish is Wish.OWN
    assert wish(member("west"), [member("east")], stand(name, free_ms=SECOND_CHOICE_MS - 1)).wish is Wish.LOOK


def test_who_owns_less_has_more_of_what_a_dead_gateway_leaves() -> None:
    """Four of its switches for two that had two and none: they end with three each."""
    free = [stand(name) for name in names(6)[2:]]
    owned = names(6)[:2]
    east, west = member("east", 6), member("west", 6)
    found_east = wishes(east, [west], [*free, *(stand(name, "east") for name in owned)], LONG)
    of_west = [*(replace(one) for one in free), *(stand(name, "east", me="west") for name in owned)]
    found_west = wishes(west, [east], of_west, LONG)
    taken = [{want.name for want in found if want.wish is Wish.OWN} - set(owned) for found in (found_east, found_west)]
    assert [len(some) for some in taken] == [1, 3]
    assert not taken[0] & taken[1]


def test_what_is_kept_for_another_is_not_taken_and_what_is_kept_for_oneself_is() -> None:
    """It was given."""
    (name,) = names(1)
    kept = Stand(Lease(name, heir="west"))
    assert wish(member("east"), [member("west")], kept).wish is Wish.LOOK
    assert wish(member("west", calls=99), [member("east")], kept).wish is Wish.OWN


# ------------------------------------------------------------------------------------------------------ giving away


def test_who_drains_gives_to_one_that_hears_the_switch() -> None:
    """And keeps what nobody else hears: a switch without a gateway gates nothing."""
    (name,) = names(1)
    east = member("east", is_draining=True)
    assert wish(east, [member("west")], stand(name, "east")) == Want(name, Wish.GIVE, "west")
    assert wish(east, [member("west", hears=frozenset())], stand(name, "east")).wish is Wish.OWN
    assert wish(east, [member("west", is_draining=True)], stand(name, "east")).wish is Wish.OWN


def test_who_drains_takes_nothing_but_what_nobody_else_hears() -> None:
    """The heir may die in the midst of it."""
    (name,) = names(1)
    east = member("east", is_draining=True)
    late = stand(name, free_ms=LONG)
    assert wish(east, [member("west")], late).wish is Wish.LOOK
    assert wish(east, [], late).wish is Wish.OWN


def test_a_switch_that_was_sent_away_goes_and_does_not_come_back_at_once() -> None:
    """Callgate drain pbx0."""
    (name,) = names(1)
    gone = stand(name, "east", is_avoided=True)
    assert wish(member("east"), [member("west", calls=500)], gone) == Want(name, Wish.GIVE, "west")
    assert wish(member("east"), [member("west")], stand(name, is_avoided=True)).wish is Wish.LOOK


def test_a_link_that_is_lost_for_long_gives_the_switch_to_who_hears_it() -> None:
    """A short loss is not worth a move."""
    (name,) = names(1)
    deaf = member("east", hears=frozenset())
    assert wish(deaf, [member("west")], stand(name, "east", deaf_ms=DEAF_MS - 1)).wish is Wish.OWN
    assert wish(deaf, [member("west")], stand(name, "east", deaf_ms=DEAF_MS)).wish is Wish.GIVE


@given(
    owners=st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=12),
    calls=st.lists(st.integers(0, 50), min_size=12, max_size=12),
)
def test_shares_become_even_and_then_rest(owners: list[str], calls: list[int]) -> None:
    """Whoever begins with whatever: each ends with its share, in as few moves as that takes, and nothing flaps."""
    count, gateways = len(owners), ("a", "b", "c")
    owned = dict(zip(names(count), owners, strict=True))
    load = dict(zip(names(count), calls, strict=False))
    most = -(-count // 3)
    needed = sum(max(0, owners.count(name) - most) for name in gateways)
    moves = 0
    for _ in range(2 * count + 3):
        told = [
            member(name, count, calls=sum(load[s] for s, owner in owned.items() if owner == name)) for name in gateways
        ]
        for me in told:
            stands = [stand(name, owner, me=me.name, calls=load[name]) for name, owner in owned.items()]
            given = [w for w in wishes(me, [o for o in told if o is not me], stands, LONG) if w.wish is Wish.GIVE]
            for want in given:
                owned[want.name] = want.heir
            moves += len(given)
    assert max(list(owned.values()).count(name) for name in gateways) <= most
    assert moves <= needed


def test_who_hears_none_of_these_switches_has_no_share_of_them() -> None:
    """The other processes of two machines, with switches of their own: east keeps half of what it shares with west."""
    stands = [stand(name, "east") for name in names(4)]
    east, west = member("east", 4), member("west", 4)
    others = [west, *(Member(f"{name}-1", hears=frozenset({"switch:far"}), left_ms=600) for name in ("east", "west"))]
    assert [want.wish for want in wishes(east, others, stands, LONG)].count(Wish.GIVE) == 2


def test_shares_are_evened_out_now_and_then_only() -> None:
    """Not right after a change."""
    stands = [stand(name, "east") for name in names(3)]
    east, west = member("east", 3), member("west", 3)
    assert not any(want.wish is Wish.GIVE for want in wishes(east, [west], stands, EVEN_OUT_MS - 1))
    assert [want.heir for want in wishes(east, [west], stands, EVEN_OUT_MS) if want.wish is Wish.GIVE] == ["west"]


def test_the_switch_with_the_fewest_calls_moves() -> None:
    """It is the least work, and the least harm."""
    stands = [stand(name, "east", calls=calls) for name, calls in zip(names(3), (9, 2, 5), strict=True)]
    found = wishes(member("east", 3), [member("west", 3)], stands, LONG)
    assert [want.name for want in found if want.wish is Wish.GIVE] == [names(3)[1]]


def test_what_is_finished_here_is_given_whoever_is_left() -> None:
    """Its calls are let go of: it is free for anybody rather than nobody's."""
    (name,) = names(1)
    assert wish(member("east"), [], stand(name, "east", is_given=True)) == Want(name, Wish.GIVE, "")
