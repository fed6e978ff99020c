"""No text that a caller writes makes a fact that is not true, and none is lost in silence."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
import uvloop
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.adapters.ami.facts import Reading
from gateway.adapters.ami.layouts import MOST_TYPES
from gateway.core.facts import Ask, AskSilenced, ChannelEnded, Doubt, LegAnswered, LegDialled
from tests.contract import ami_events as ev
from tests.contract.ami_reading import GREETING, Reader, read
from tests.contract.ami_server import until

MARK = "5f1d0c9ab34e7768"
LONGEST_FIELD = 79  # AST_CHANNEL_NAME and AST_MAX_EXTENSION, less the NUL
MAKERS = (ev.newstate, ev.hangup, ev.dial_begin, ev.dial_end, ev.ask, ev.silence, ev.newchannel, ev.dial_forwarded)
FORGED = (ev.newstate, ev.hangup, ev.dial_begin, ev.dial_end, ev.ask, ev.silence)
FIELDS = ("Forward", "DialString", *ev.CALLERS_FIELDS, *("Dest" + name for name in ev.CALLERS_FIELDS))

many = settings(max_examples=500, deadline=None, suppress_health_check=list(HealthCheck))

PIECES = (
    "\r\n", "\r\n\r\n", "\r\n\r\n", "1", "\r", "\n", ": ", "Event: A\r\n", "Event: Hangup\r\n", "Event: Newstate\r\n",
    "Event: UserEvent\r\n", "Event: DialEnd\r\n", "Event: FullyBooted\r\n", "Response: Success\r\n",
    "Privilege: call,all\r\n", "Privilege: ", "Timestamp: 1732290001.123456\r\n", "Channel: x\r\n",
    "ChannelState: 6\r\n", "Exten: 1\r\n", "Priority: \r\n", "Priority: 1\r\n", f"Uniqueid: {ev.VICTIM_LEG}\r\n",
    "Uniqueid: 1.1\r\n", "Linkedid: \r\n", "Linkedid: 1.1\r\n", f"DestUniqueid: {ev.VICTIM_LEG}\r\n",
    "DestLinkedid: \r\n", "DialStatus: ANSWER\r\n", "Cause: 16\r\n", "Cause-txt: \r\n", "Cause-txt: ",
    "UserEvent: CallGateAuthorize\r\n", "UserEvent: X", "DialStatus: ", "DialString: ", "X: ",
    "Event: A\r\nPrivilege: ",
)  # fmt: skip
pieces = st.lists(st.sampled_from(PIECES), max_size=12).map("".join)


def lines(pairs: Sequence[tuple[str, str]]) -> str:
    """Headers as text, each with its end."""
    return "".join(f"{name}: {value}\r\n" for name, value in pairs)


@st.composite
def crafted(draw: st.DrawFn, event: ev.Event, field: str) -> str:
    """Text by someone who knows the rules: end the true head well, forge, begin a message that the tail completes."""
    body = event.lines()
    place = [name for name, _ in body].index(field)
    text = "1\r\n"
    if draw(st.booleans()):
        rest = [(n, ev.VICTIM_LEG if n.endswith("Uniqueid") else v) for n, v in body[place + 1 :]]
        text += lines([(n, v) for n, v in rest if not n.endswith("ChanVariable")])
    text += "\r\n"
    for maker in draw(st.lists(st.sampled_from(FORGED), max_size=3)):
        forged = maker() if maker in (ev.dial_begin, ev.dial_end) else maker(ev.VICTIM_LEG)
        text += lines(forged.lines()) + "\r\n"
    tails = ("", "same", "Event: A\r\nPrivilege: ", "Event: Newstate\r\nPrivilege: call,all\r\nX: ")
    tail = draw(st.sampled_from(tails))
    if tail == "same":
        return text + lines([(n, v) for n, v in body[:place] if not n.endswith("ChanVariable")]) + f"{field}: 1"
    return text + tail


@st.composite
def streams(draw: st.DrawFn, mark: str, longest: int | None) -> tuple[list[ev.Event], list[ev.Event]]:
    """A true stream, and the same with attacker's text in one or more fields of some of its events."""
    makers = draw(st.lists(st.sampled_from(MAKERS), min_size=1, max_size=8))
    clean, dirty = [], []
    for maker in makers:
        event = maker(mark=mark)
        clean.append(event)
        fields = [name for name, _ in event.lines() if name in FIELDS]
        chosen = draw(st.lists(st.sampled_from(fields), max_size=2, unique=True))
        values = {name: draw(st.one_of(pieces, crafted(event, name))) for name in chosen}
        body = [(n, values.get(n, v)[:longest]) for n, v in event.body]
        dirty.append(replace(event, body=body))
    return clean, dirty


def moving(facts: Sequence[Reading]) -> list[Reading]:
    """Facts that move money or state, without the free text that a caller may choose anyway."""
    kinds = (Ask, AskSilenced, ChannelEnded, LegAnswered, LegDialled)
    return [replace(f, dial_string="") if isinstance(f, LegDialled) else f for f in facts if isinstance(f, kinds)]


def named(fact: Reading) -> str:
    """The channel that a fact is about."""
    return fact.leg if isinstance(fact, LegAnswered | LegDialled) else getattr(fact, "uniqueid", "")


def check(clean: list[ev.Event], dirty: list[ev.Event], cuts: list[int], mark: str) -> None:
    """What comes out of the dirty stream is true, what is missing is doubted, and it is the same in a used session."""
    true = moving(read(b"".join(e.encode() for e in clean), mark=mark))
    stream = b"".join(e.encode() for e in dirty)
    facts = read(stream, cuts, mark)
    assert facts == read(stream, cuts, mark, is_used=True)
    believed = moving(facts)
    for fact in believed:
        assert fact in true
    doubted = {uniqueid for fact in facts if isinstance(fact, Doubt) for uniqueid in fact.uniqueids}
    for fact in true:
        assert fact in believed or named(fact) in doubted


@many
@given(streams("", LONGEST_FIELD), st.lists(st.integers(0, 9000), max_size=6))
def test_no_text_of_a_fields_length_forges_a_fact(pair: tuple[list[ev.Event], list[ev.Event]], cuts: list[int]) -> None:
    """Text of up to 79 bytes in any field of any event, cut anywhere, makes nothing untrue and hides nothing."""
    check(*pair, cuts, "")


@many
@given(streams(MARK, None), st.lists(st.integers(0, 30000), max_size=6))
def test_with_the_mark_no_text_of_any_length_forges_a_fact(
    pair: tuple[list[ev.Event], list[ev.Event]], cuts: list[int]
) -> None:
    """With the mark, text of any length, complete forged events included, makes no fact that is not true."""
    check(*pair, cuts, MARK)


@many
@given(
    st.lists(st.sampled_from(MAKERS), max_size=30),
    st.text(st.characters(exclude_characters="\r\n\0", codec="utf-8"), max_size=79),
    st.lists(st.integers(0, 20000), max_size=8),
)
def test_text_without_line_ends_harms_nothing(makers: list[object], text: str, cuts: list[int]) -> None:
    """Whatever stands in a number, as long as it has no CR LF, every fact comes out, in order, however TCP cuts."""
    values = dict.fromkeys(FIELDS, text)
    clean = [maker() for maker in makers]  # type: ignore[operator]
    dirty = [maker(**values) for maker in makers]  # type: ignore[operator]
    facts = read(b"".join(e.encode() for e in dirty), cuts)
    assert not any(isinstance(fact, Doubt) for fact in facts)
    true = moving(read(b"".join(e.encode() for e in clean)))
    # An ask waits for nothing, so it may overtake; all others keep their order.
    for is_ask in (True, False):
        assert [f for f in moving(facts) if isinstance(f, Ask) is is_ask] == [
            f for f in true if isinstance(f, Ask) is is_ask
        ]


def test_a_complete_head_and_a_tail_of_no_known_type_forge_nothing() -> None:
    """A head that a caller completed for a victim's leg, and a tail that begins a type of his own, are doubted."""
    exten = f"\r\nPriority: \r\nUniqueid: {ev.VICTIM_LEG}\r\nLinkedid: \r\n\r\nEvent: A\r\nPrivilege: "
    assert len(exten) <= LONGEST_FIELD
    facts = read(ev.newstate(ev.CALLER, "6", Exten=exten).encode())
    assert [type(fact) for fact in facts] == [Doubt]
    assert set(facts[0].uniqueids) == {ev.VICTIM_LEG, ev.CALLER}  # type: ignore[union-attr]


@pytest.mark.parametrize("size", range(0, 4097, 512))
def test_doubt_reaches_back_over_what_is_near(size: int) -> None:
    """An event is doubted when something broken begins less than 4096 bytes after it, and believed when not."""
    padding = b"".join(ev.newstate(state="5").encode() for _ in range(20))[:size]
    padding = padding[: padding.rfind(b"\r\n\r\n") + 4] if b"\r\n\r\n" in padding else b""
    facts = read(ev.hangup().encode() + padding + b"broken\r\n\r\n")
    distance = len(ev.hangup().encode() + padding)
    assert any(isinstance(fact, ChannelEnded) for fact in facts) is (distance >= 4096)


async def test_quiet_ends_the_doubt() -> None:
    """What comes after a moment of quiet is another event than the broken one, and is believed."""
    reader = Reader().read([GREETING, b"broken\r\n\r\n", ev.newstate().encode()])
    assert reader.judge.awaits_quiet
    reader.fall_quiet().read([ev.hangup().encode()]).fall_quiet()
    assert [type(fact) for fact in reader.facts] == [Doubt, Doubt, ChannelEnded]


async def test_an_unfinished_message_is_not_quiet() -> None:
    """As long as a message is unfinished nothing before it is believed: it may be the tail of the same event."""
    reader = Reader().read([GREETING, ev.hangup().encode(), b"\r\nPrio"]).fall_quiet()
    assert reader.facts == []
    reader.read([b"rity: 1\r\n\r\n"]).fall_quiet()
    assert [type(fact) for fact in reader.facts] == [Doubt]


async def test_bytes_of_an_unfinished_message_prove_nothing() -> None:
    """A long broken message doubts what was near its beginning, also when much of it came in before its end."""
    reader = Reader().read([GREETING, ev.hangup().encode(), b"junk" * 2000])
    assert reader.facts == []
    reader.read([b"\r\n\r\n"]).fall_quiet()
    assert [type(fact) for fact in reader.facts] == [Doubt]


def test_the_callers_mark_does_not_vouch_for_the_leg() -> None:
    """A DialEnd whose leg was completed by text in the leg's own number lacks the leg's mark, and is doubted."""
    true = ev.dial_end("BUSY", mark=MARK)
    place = [name for name, _ in true.body].index("DestExten")
    rest = [(n, ev.VICTIM_LEG if n == "DestUniqueid" else v) for n, v in true.body[place + 1 :]]
    head = lines([(n, v) for n, v in rest if n not in ("DestChanVariable", "DialStatus")])
    tail = lines([(n, v) for n, v in true.body[:place] if n.startswith("Dest")]) + "DestExten: 1"
    text = f"1\r\n{head}DialStatus: ANSWER\r\n\r\nEvent: DialEnd\r\nPrivilege: call,all\r\n{tail}"
    facts = read(ev.dial_end("BUSY", mark=MARK, DestExten=text).encode(), mark=MARK)
    assert [type(fact) for fact in facts] == [Doubt]


def test_line_ends_behind_an_event_are_doubted_at_once() -> None:
    """Line ends that text in the last header leaves behind do not wait for what comes next to be found out."""
    facts = read(ev.dial_begin(DialString="1\r\n").encode())
    assert [type(fact) for fact in facts] == [Doubt]


def test_many_doubted_uniqueids_are_all_told() -> None:
    """A forged flood of Uniqueids makes as many Doubts as it takes, each of 64 names at most, and loses none."""
    names = [f"1732290000.{number}" for number in range(500)]
    frame = "".join(f"Uniqueid: {name}\r\n" for name in names) + "\r\n"
    doubts = [fact for fact in read(frame.encode()) if isinstance(fact, Doubt)]
    assert [name for doubt in doubts for name in doubt.uniqueids] == names
    assert all(len(doubt.uniqueids) <= 64 for doubt in doubts)


def test_an_unfiltered_stream_still_works() -> None:
    """Events that the missing filter should have kept away cast no doubt on those that matter."""
    bridge = ev.Event("BridgeEnter", [("BridgeUniqueid", "b-1"), ("BridgeType", "basic"), *ev.channel(ev.LEG)])
    originate = ev.Event("OriginateResponse", [("Response", "Success"), ("Channel", "x"), ("Uniqueid", "<null>")])
    foreign = ev.Event("UserEvent", [*ev.channel(ev.CALLER), ("UserEvent", "Own"), ("Uniqueid2", "1")], "user,all")
    stream = [ev.newchannel(), bridge, originate, foreign, ev.newstate(), bridge, ev.hangup()]
    facts = read(b"".join(event.encode() for event in stream))
    assert [type(fact) for fact in facts] == [LegAnswered, ChannelEnded]


async def test_a_known_layout_is_read_in_one_step() -> None:
    """Every event of a call is read by its known layout once one of its kind was read in full, with the mark or not."""
    for mark in ("", MARK):
        reader = Reader(mark).read([GREETING]).grow_used(mark)
        for maker in FORGED:
            assert reader.judge.event_of_known_layout(0, maker(mark=mark).encode()[:-4])


async def test_what_is_not_read_is_dropped_by_its_layout() -> None:
    """An event that the filter should have kept away is read in full once; the next of its layout only counts."""
    reader = Reader().read([GREETING, ev.newchannel().encode()])
    assert reader.judge.event_of_known_layout(0, ev.newchannel().encode()[:-4])
    assert reader.stats.unfiltered == 2
    assert not reader.judge.event_of_known_layout(0, ev.newchannel().encode().partition(b"\r\nExten")[0])


async def test_what_is_not_read_takes_no_place_of_what_is() -> None:
    """Neither user events of other dialplans nor made-up types, of which few are kept."""
    foreign = [ev.Event("UserEvent", [*ev.channel(ev.CALLER), (f"X{n}", "1")], "user,all") for n in range(20)]
    made_up = [ev.Event(f"Made{number}", [*ev.channel(ev.CALLER)]).encode() for number in range(100)]
    reader = Reader().read([GREETING, *(event.encode() for event in foreign), *made_up]).grow_used("")
    for maker in FORGED:
        assert reader.judge.event_of_known_layout(0, maker().encode()[:-4])
    assert sum(reader.judge.event_of_known_layout(0, frame[:-4]) for frame in made_up) <= MOST_TYPES


@pytest.mark.parametrize(
    ("name", "value"),
    [("Privilege", "call,ALL"), ("UserEvent", "CallGateOther"), ("ChanVariable", "CALLGATE_MARK=x"), ("Exten", "1\r")],
)
async def test_what_a_layout_holds_to_the_letter_is_read_in_full(name: str, value: str) -> None:
    """With another privilege, name or mark, or a CR in a value, a message is of no known layout."""
    reader = Reader(MARK).read([GREETING]).grow_used(MARK)
    changed = [(n, value if n == name else v) for n, v in ev.ask(mark=MARK).lines()]
    assert not reader.judge.event_of_known_layout(0, lines(changed).encode()[:-2])


async def test_made_up_layouts_are_bounded() -> None:
    """Of layouts that an attacker makes up only a few are kept, and what was known before stays known."""
    reader = Reader().read([GREETING]).grow_used("")
    made_up = [ev.newstate(Exten=f"1\r\nX{number}: y").encode() for number in range(100)]
    reader.read(made_up)
    known = [reader.judge.event_of_known_layout(0, frame[:-4]) for frame in made_up]
    assert sum(known) < 10
    endless = ev.hangup(Exten="1" + "".join(f"\r\nX{number}: y" for number in range(100))).encode()
    reader = Reader().read([GREETING, endless, ev.newstate().encode()])
    assert not reader.judge.event_of_known_layout(0, endless[:-4])
    assert reader.judge.event_of_known_layout(0, ev.newstate().encode()[:-4])


def test_a_quiet_costs_one_callback() -> None:
    """On the loop that the gateway runs on, facts that wait for quiet are given out by the first timer that fires."""

    async def run() -> int:
        reader = Reader().read([GREETING])
        quiet, calls = reader.protocol._quiet, []
        reader.protocol._quiet = lambda: (calls.append(1), quiet())  # type: ignore[method-assign, assignment]
        reader.read([ev.hangup().encode()])
        await until(lambda: reader.facts)
        return len(calls)

    assert uvloop.run(run()) == 1


def test_an_event_needs_no_timestamp() -> None:
    """An event without Timestamp is as good as one with it."""
    unstamped = replace(ev.hangup(), timestamp="")
    assert [type(fact) for fact in read(unstamped.encode())] == [ChannelEnded]
