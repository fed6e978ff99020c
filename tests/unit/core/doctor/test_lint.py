"""What is wrong with single lines of a dialplan."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.doctor.dialplan import Dialplan, Line, is_open, matches, split, without
from gateway.core.doctor.lint import lint
from gateway.core.doctor.report import Severity, whole
from gateway.core.doctor.trunks import Reach, read_dial
from tests.unit.core.doctor.plan import ASK, OUT, found, told


def gated(dial: str, trunks: tuple[str, ...] = ("PJSIP/trunk",)) -> list[str]:
    """What is said of a Dial behind the gate."""
    return [check for check, _ in told(f"[out]\nexten => _1X,1,{ASK}\nsame => n,{dial}", trunks)]


def test_the_shipped_form_is_right() -> None:
    """Of a gated Dial."""
    assert gated(OUT) == []


@pytest.mark.parametrize(
    ("options", "check"),
    [
        ("ig${CALLGATE_DIAL_OPTS}", "dial-option"),
        ("iU(a^b)${CALLGATE_DIAL_OPTS}", "dial-option"),
        ("iM(a)${CALLGATE_DIAL_OPTS}", "dial-option"),
        ("iA(beep)${CALLGATE_DIAL_OPTS}", "dial-option"),
        ("iG(a^1^1)${CALLGATE_DIAL_OPTS}", "dial-option"),
        ("${CALLGATE_DIAL_OPTS}", "dial-option"),
        ("i", "dial-cap"),
        ("iL(1000)${CALLGATE_DIAL_OPTS}", "dial-cap"),
    ],
)
def test_each_bad_option_is_named(options: str, check: str) -> None:
    """And nothing else."""
    assert gated(f"Dial(PJSIP/${{CALLGATE_DIAL}}@trunk,60,{options})") == [check]


def test_letters_within_parentheses_are_no_options() -> None:
    """Nor are those of a variable's name."""
    assert gated("Dial(PJSIP/${CALLGATE_DIAL}@trunk,60,iTtb(gUMAGL^s^1)${CALLGATE_DIAL_OPTS})") == []


@pytest.mark.parametrize("number", ["${EXTEN}", "9${CALLGATE_DIAL}${EXTEN}", "18005551212"])
def test_another_number_than_the_gates_is_named(number: str) -> None:
    """Nobody paid for it."""
    assert "dial-number" in gated(f"Dial(PJSIP/{number}@trunk,60,i${{CALLGATE_DIAL_OPTS}})")


@pytest.mark.parametrize(
    ("dial", "trunks", "reach"),
    [
        ("PJSIP/${X}@trunk", (), Reach.TRUNK),
        ("PJSIP/trunk/sip:${X}@192.0.2.1", (), Reach.TRUNK),
        ("PJSIP/desk", (), Reach.INSIDE),
        ("SIP/carrier/${X}", (), Reach.TRUNK),
        ("SIP/${X}@carrier", (), Reach.TRUNK),
        ("IAX2/user@carrier/${X}", (), Reach.TRUNK),
        ("DAHDI/g1/${X}", (), Reach.TRUNK),
        ("Local/${X}@out", (), Reach.INSIDE),
        ("${DIALSTRING}", (), Reach.UNKNOWN),
        ("${OUT_1}/${X}", (), Reach.UNKNOWN),
        ("PJSIP/${EXTEN}", ("PJSIP/carrier",), Reach.INSIDE),
        ("PJSIP/${WHERE}", ("PJSIP/carrier",), Reach.UNKNOWN),
        ("PJSIP/${X}@trunk", ("PJSIP/carrier",), Reach.INSIDE),
        ("PJSIP/${X}@${TRUNK}", ("PJSIP/carrier",), Reach.TRUNK),
        ("PJSIP/carrier-2", ("PJSIP/carrier*",), Reach.TRUNK),
        ("DAHDI/g1/${X}", ("DAHDI/i1/*",), Reach.TRUNK),
        ("DAHDI/g1/${X}", ("PJSIP/carrier",), Reach.INSIDE),
        ("IAX2/user@carrier:4569/${X}", ("IAX2/carrier",), Reach.TRUNK),
    ],
)
def test_what_a_trunk_is(dial: str, trunks: tuple[str, ...], reach: Reach) -> None:
    """By the config; else by its looks."""
    (destination,) = read_dial(f"{dial},60").destinations
    assert destination.reach(trunks) is reach


def test_what_stands_in_a_variable_is_noted() -> None:
    """It cannot be told what it dials."""
    (note,) = found("[out]\nexten => _1X,1,Dial(${TO},60)")
    assert (note.severity, note.check) == (Severity.NOTE, "trunk-unknown")


def test_what_has_a_number_behind_a_variable_is_likely_a_trunk() -> None:
    """As FreePBX dials."""
    (finding,) = found("[macro-dialout-trunk]\nexten => s,1,Dial(${OUT_${DIAL_TRUNK}}/${OUTNUM},300)")
    assert (finding.severity, finding.check) == (Severity.WARNING, "trunk-unknown")
    assert gated("Dial(${OUT_1}/${CALLGATE_DIAL},60,i${CALLGATE_DIAL_OPTS})") == []


@pytest.mark.parametrize(
    ("argument", "is_told"),
    [
        ("${EXTEN}", True),
        ("${EXTEN:1}", True),
        ("${ARG1}", True),
        ("${CALLERID(dnid)}", True),
        ("${FILTER(0-9,${A})}${B}", True),
        ("1${FILTER(0-9,${EXTEN:1})}", False),
        ("${FILTER(0-9+*#,${CUT(EXTEN,-,1)})}", False),
        ("18005551212", False),
    ],
)
def test_a_number_that_no_filter_took_in_hand(argument: str, is_told: bool) -> None:
    """Gosub splits on the comma before the gate sees anything."""
    checks = [check for check, _ in told(f"[out]\nexten => _1X,1,Gosub(callgate,authorize,1({argument},acme))")]
    assert checks == (["argument-unfiltered"] if is_told else [])


def test_a_fixed_extension_is_no_callers_text() -> None:
    """It can only be what stands there."""
    assert told("[out]\nexten => 911,1,Gosub(callgate,authorize,1(${EXTEN},))") == []


@pytest.mark.parametrize(("tenant", "is_told"), [("${CALLERID(num)}", True), ("${CHANNEL(accountcode)}", False)])
def test_a_tenant_that_the_caller_writes(tenant: str, is_told: bool) -> None:
    """It would choose who pays."""
    lines = told("[out]\nexten => _1X,1,Gosub(callgate,authorize,1(${FILTER(0-9,${EXTEN})}," + tenant + "))")
    assert bool(lines) is is_told


def test_open_patterns_are_told_where_they_lead_to_the_gate() -> None:
    """Others are nobody's concern."""
    text = f"[out]\nexten => _1.,1,{ASK}\nexten => _2!,1,{ASK}\nexten => _[3.]X,1,{ASK}\nexten => _9.,1,NoOp()"
    assert told(text) == [("pattern-open", "out,_1.,1"), ("pattern-open", "out,_2!,1")]


def test_an_open_pattern_among_the_free_numbers_is_an_error() -> None:
    """It gives paid calls away."""
    (finding,) = found("[callgate-free]\nexten => _2.,1,NoOp()\nexten => _3XX,1,NoOp()")
    assert (finding.severity, finding.where) == (Severity.ERROR, "callgate-free,_2.,1")


@pytest.mark.parametrize("name", ["callgate", "callgate-wait", "callgate-free", "callgate-emergency"])
def test_the_gates_contexts_are_for_nobody_to_dial(name: str) -> None:
    """An include leads into them."""
    assert told(f"[phones]\ninclude => {name}") == [("gate-included", "phones")]


def test_what_a_phone_sends_is_printed_without_what_a_terminal_obeys() -> None:
    """The dialplan is others' text."""
    (finding,) = found("[out]\nexten => _1X,1,Dial(PJSIP/\x1b[2J${X}@trunk)")
    assert "\x1b" not in str(finding)
    assert "\\x1b[2J" in str(finding)


@pytest.mark.parametrize(
    ("pattern", "exten", "does"),
    [
        ("_1NXX", "1234", True),
        ("_1NXX", "1134", False),
        ("_Z!", "1", True),
        ("_X.", "1", False),
        ("_[1-3a]X", "25", True),
        ("_[1-3a]X", "45", False),
        ("_NXX-XXXX", "2345678", True),
        ("_+ZX", "+12", True),
        ("_[", "[", True),
        ("_1X/2000", "12", True),
    ],
)
def test_patterns_match_as_asterisk_matches(pattern: str, exten: str, does: bool) -> None:
    """The letters of pbx.c."""
    assert matches(pattern, exten) is does


def test_text_is_taken_apart_at_the_top_level_only() -> None:
    """Whatever brackets it holds."""
    assert split("a(b,c),${d,e},$[f,g]", ",") == ["a(b,c)", "${d,e}", "$[f,g]"]
    assert split("a)b,c", ",") == ["a)b", "c"]
    assert without("1${FILTER(0-9,${CUT(A,-,1)})}2${B}", "FILTER") == "12${B}"
    assert without("${FILTER(0-9,${A}", "FILTER") == ""
    assert [is_open(each) for each in ("_X.", "_[.]X", "1.", "_X!")] == [True, False, False, True]


_PIECES = st.sampled_from(
    [
        *(
            "Gosub",
            "Goto",
            "GotoIf",
            "Macro",
            "Dial",
            "ExecIf",
            "Return",
            "callgate",
            "authorize",
            "s",
            "out",
            "1",
            "n",
        ),
        *("${EXTEN}", "${CALLGATE_DIAL}", "FILTER(", "Local/", "PJSIP/", "L(", "\u0663", "9" * 5000),
        *"(){}[]$,?:&@/_.! \x00\x1b",
    ]
)
_TEXTS = st.lists(_PIECES, max_size=8).map("".join)
_CONTEXTS = st.sampled_from(["out", "macro-x", "callgate-free"])
_LINES = st.builds(Line, _CONTEXTS, _TEXTS, st.integers(1, 3), _TEXTS, _PIECES, _TEXTS)


@given(st.lists(_LINES, max_size=12), st.booleans())
@settings(max_examples=300, deadline=None)
def test_no_dialplan_is_too_odd_to_be_looked_at(lines: list[Line], is_known: bool) -> None:
    """Whoever wrote it; and what is said of it is one line."""
    for finding in lint(
        Dialplan(lines, {"out": ["macro-x", "out"]}), ("PJSIP/trunk",), frozenset() if is_known else None
    ):
        assert "\n" not in str(finding)
        assert str(finding).isprintable()


def test_a_number_is_a_number_of_a_size() -> None:
    """Python itself refuses to read one of five thousand digits."""
    assert [whole(text) for text in ("3", "", "-1", "9" * 10, "9" * 5000, "\u00b2", "\u0663")] == [3, *[None] * 6]
