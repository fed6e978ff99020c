"""Which lines can be reached without an ask."""

import pytest

from tests.unit.core.doctor.plan import ASK, OUT, TRUNKS, told


def ungated(text: str, trunks: tuple[str, ...] = TRUNKS, starts: frozenset[str] | None = None) -> list[str]:
    """Where a trunk is dialled without the gate."""
    return [where for check, where in told(text, trunks, starts) if check == "trunk-ungated"]


def test_an_ask_before_the_dial_is_all_it_takes() -> None:
    """In the same extension, at any distance."""
    assert ungated(f"[out]\nexten => _1X,1,NoOp()\nsame => n,{ASK}\nsame => n,NoOp()\nsame => n,{OUT}") == []


def test_a_dial_without_one_is_named() -> None:
    """By context, extension and priority."""
    assert ungated(f"[out]\nexten => _1X,1,NoOp()\nsame => n,{OUT}") == ["out,_1X,2"]


def test_an_ask_after_the_dial_gates_nothing() -> None:
    """The order counts."""
    assert ungated(f"[out]\nexten => _1X,1,{OUT}\nsame => n,{ASK}") == ["out,_1X,1"]


def test_an_ask_in_another_extension_gates_nothing() -> None:
    """Nobody passes it."""
    assert ungated(f"[out]\nexten => _1X,1,{ASK}\nexten => _2X,1,{OUT}") == ["out,_2X,1"]


@pytest.mark.parametrize(
    "line",
    [
        "GotoIf($[1]?4)",
        "GotoIf($[1]?past)",
        "GotoIf($[1]?out,_1X,4)",
        "GotoIf($[1]?2:4)",
        "GotoIfTime(9:00-17:00,mon-fri,*,*?past)",
        "GosubIf($[1]?other,s,1)",
    ],
)
def test_a_jump_past_the_ask_is_seen(line: str) -> None:
    """By priority, by label, by a whole address. A subroutine comes back."""
    other = "[other]\nexten => s,1,Goto(out,_1X,4)"
    text = f"[out]\nexten => _1X,1,{line}\nsame => n,{ASK}\nsame => n,NoOp()\nsame => n(past),{OUT}\n{other}"
    assert ungated(text) == ["out,_1X,4"]


def test_an_ask_under_a_condition_gates_nothing() -> None:
    """It may not have been made."""
    text = f"[out]\nexten => _1X,1,ExecIf($[1]?{ASK})\nsame => n,{OUT}"
    assert ungated(text) == ["out,_1X,2"]
    condition = "GosubIf($[1]?callgate,authorize,1(${FILTER(0-9,${EXTEN})}))"
    assert ungated(f"[out]\nexten => _1X,1,{condition}\nsame => n,{OUT}") == ["out,_1X,2"]


def test_an_inbound_ask_pays_for_no_outbound_leg() -> None:
    """Whoever comes in is asked for again."""
    ask = "Gosub(callgate,authorize,1(${FILTER(0-9+,${EXTEN})},,,inbound))"
    assert ungated(f"[in]\nexten => 1800,1,{ask}\nsame => n,{OUT}") == ["in,1800,2"]
    assert ungated(f"[in]\nexten => 1800,1,{ask}\nsame => n,{ASK}\nsame => n,{OUT}") == []


def test_a_subroutine_may_ask() -> None:
    """Where each way through it does."""
    caller = "[out]\nexten => _1X,1,Gosub(sub,s,1(${FILTER(0-9,${EXTEN})}))\nsame => n," + OUT
    assert ungated(f"{caller}\n[sub]\nexten => s,1,{ASK}\nsame => n,Return()") == []
    some = f"[sub]\nexten => s,1,GotoIf($[1]?3)\nsame => n,{ASK}\nsame => n,Return()"
    assert ungated(f"{caller}\n{some}") == ["out,_1X,2"]


def test_a_subroutine_that_dials_is_gated_by_its_callers() -> None:
    """By all of them."""
    sub = f"[sub]\nexten => s,1,{OUT}\nsame => n,Return()"
    good = f"[out]\nexten => _1X,1,{ASK}\nsame => n,Gosub(sub,s,1)"
    assert ungated(f"{good}\n{sub}") == []
    assert ungated(f"{good}\n[aside]\nexten => _2X,1,Gosub(sub,s,1)\n{sub}") == ["sub,s,1"]


def test_a_macro_is_a_subroutine() -> None:
    """It comes back at its end, too."""
    caller = f"[out]\nexten => _1X,1,Macro(ask)\nsame => n,{OUT}"
    assert ungated(f"{caller}\n[macro-ask]\nexten => s,1,{ASK}") == []
    assert ungated(f"{caller}\n[macro-ask]\nexten => s,1,NoOp()") == ["out,_1X,2"]


def test_a_local_channel_goes_on_with_what_its_caller_asked() -> None:
    """Where its context is not one that endpoints start in."""
    dial = "Dial(Local/${CALLGATE_DIAL}@trunk-only,60,i${CALLGATE_DIAL_OPTS})"
    text = f"[out]\nexten => _1X,1,{ASK}\nsame => n,{dial}\n[trunk-only]\nexten => _44X,1,{OUT}"
    assert ungated(text, starts=frozenset({"out"})) == []
    assert ungated(text, starts=frozenset({"out", "trunk-only"})) == ["trunk-only,_44X,1"]
    assert ungated(text, starts=None) == ["trunk-only,_44X,1"]  # not known: it may be one


def test_a_context_that_another_includes_can_be_dialled() -> None:
    """Whoever else jumps to it."""
    text = (
        f"[phones]\ninclude => away\n[out]\nexten => _1X,1,{ASK}\nsame => n,Goto(away,s,1)\n[away]\nexten => s,1,{OUT}"
    )
    assert ungated(text) == ["away,s,1"]


def test_extensions_that_only_jump_to_each_other_are_not_forgotten() -> None:
    """Nobody knows who else comes there."""
    ring = f"[a]\nexten => s,1,Goto(b,s,1)\n[b]\nexten => s,1,GotoIf($[1]?a,s,1)\nsame => n,{OUT}"
    assert ungated(ring, starts=frozenset({"phones"})) == ["b,s,2"]


def test_the_shipped_way_of_conferences_is_gated() -> None:
    """callgate-dialout-leg asks, and goes to the admin's line."""
    leg = "[callgate-dialout-leg]\nexten => s,1,Gosub(callgate,authorize,1(${ARG1},${CALLGATE_TENANT}))\n"
    leg += "same => n,Goto(callgate-dialout-trunk,s,1)\n"
    trunk = f"[callgate-dialout-trunk]\nexten => s,1,{OUT}\n"
    assert ungated(leg + trunk) == []
    assert ungated(leg + trunk + "[aside]\nexten => 5,1,Goto(callgate-dialout-trunk,s,1)") == [
        "callgate-dialout-trunk,s,1"
    ]


def test_an_application_within_another_is_seen() -> None:
    """TryExec and ExecIf hide nothing."""
    assert ungated(f"[out]\nexten => _1X,1,TryExec({OUT})") == ["out,_1X,1"]
    assert ungated(f"[out]\nexten => _1X,1,ExecIf($[1]?NoOp():{OUT})") == ["out,_1X,1"]


def test_a_loop_ends() -> None:
    """Jumps back, and subroutines that call themselves."""
    text = f"[out]\nexten => _1X,1,Gosub(out,_1X,1)\nsame => n,Goto(1)\nsame => n,{OUT}"
    assert ungated(text) == []  # nobody gets there


def test_a_jump_to_what_is_not_there_leads_nowhere() -> None:
    """Asterisk ends the call."""
    text = "[out]\nexten => _1X,1,Goto(none,s,1)\nexten => _2X,1,Goto(7)\n"
    text += f"exten => _3X,1,GotoIf($[1]?nowhere)\nsame => n,{OUT}"
    assert ungated(text) == ["out,_3X,2"]


FREEPBX = """
[from-internal]
include => outrt-1
include => ext-local
[ext-local]
exten => _2XXX,1,Macro(exten-vm,${EXTEN})
exten => h,1,Hangup()
[macro-exten-vm]
exten => s,1,Dial(PJSIP/${ARG1},20,tr)
[outrt-1]
exten => _1NXXNXXXXXX,1,Set(OUTNUM=${FILTER(0-9,${EXTEN})})
 same => n,Macro(dialout-trunk,1,${OUTNUM})
 same => n,Macro(dialout-trunk,2,${OUTNUM})
 same => n,Macro(outisbusy)
[macro-outisbusy]
exten => s,1,Congestion(20)
[macro-dialout-trunk]
exten => s,1,Set(DIAL_TRUNK=${ARG1})
 same => n,GotoIf($["${DIAL_TRUNK}" = ""]?disabletrunk,1)
 same => n,Macro(dialout-trunk-predial-hook)
 same => n,GotoIf($["${custom}" = "AMP"]?customtrunk)
 same => n,Dial(PJSIP/${CALLGATE_DIAL}@carrier,300,i${CALLGATE_DIAL_OPTS})
 same => n,Goto(s-${DIALSTATUS},1)
 same => n(customtrunk),Dial(PJSIP/${CALLGATE_DIAL}@other,300,i${CALLGATE_DIAL_OPTS})
exten => disabletrunk,1,NoOp(off)
exten => _s-.,1,NoOp(next)
[macro-dialout-trunk-predial-hook]
exten => s,1,HOOK
 same => n,MacroExit()
"""


@pytest.mark.parametrize(
    ("hook", "expected"),
    [
        ("Gosub(callgate,authorize,1(${FILTER(0-9+*#,${OUTNUM})},))", []),
        ("NoOp(nothing)", ["macro-dialout-trunk,s,5", "macro-dialout-trunk,s,7"]),
    ],
)
def test_a_hook_of_the_kind_that_freepbx_has(hook: str, expected: list[str]) -> None:
    """A macro before the Dial of a macro that is called for each trunk."""
    trunks = ("PJSIP/carrier", "PJSIP/other")
    assert ungated(FREEPBX.replace("HOOK", hook), trunks, frozenset({"from-internal"})) == expected
    assert ungated(FREEPBX.replace("HOOK", hook), trunks) == expected
