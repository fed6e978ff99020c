"""What an operator gets wrong, one text in another's place each, and what the doctor says of it."""

from __future__ import annotations

from typing import NamedTuple

from tests.lab.doctor_lab import DIAL, WAY_OUT

PLACE = "way-out,_1NXXNXXXXXX,"
GENERAL = "manager.conf, [general]"
USER = "manager.conf, [callgate]"
GATED = f"{WAY_OUT}\n same => n,{DIAL}"


class Case(NamedTuple):
    """A text in another's place, in a file; what is found, where, and a word of the remedy."""

    name: str
    file: str
    old: str
    new: str
    checks: str  # all errors and warnings, by their names
    where: str  # of the first
    remedy: str
    is_error: bool = True
    reload: bool = True


def dialplan(name: str, old: str, new: str, checks: str, where: str, remedy: str, is_error: bool = True) -> Case:
    """A case of extensions.conf."""
    return Case(name, "extensions.conf", old, new, checks, where, remedy, is_error)


def option(letter: str, more: str = "", is_error: bool = False) -> Case:
    """An option on the gated Dial of the way out."""
    new = f"{WAY_OUT}\n same => n,{DIAL.replace('60,i', '60,i' + letter + more)}"
    return dialplan(f"option {letter}", GATED, new, "dial-option", PLACE + "2", f"remove {letter}", is_error)


FILTERED = "1(${FILTER(0-9+*#,${EXTEN})},)"
HANGUP_FILTER = "eventfilter(name(Hangup),action(include)) =\n"
CASES = [
    dialplan("ungated", "[phones]", f"[aside]\nexten => _00X,1,{DIAL}\n[phones]", "trunk-ungated", "aside,_00X,1",
             "put Gosub(callgate,authorize"),
    dialplan("gate skipped by a jump", WAY_OUT, "exten => _1NXXNXXXXXX,1,GotoIf($[1]?3)\n" + WAY_OUT.replace(",1,G",
             ",2,G"),
             "trunk-ungated", PLACE + "3", "put Gosub(callgate,authorize"),
    dialplan("inbound ask for an outbound call", "Dial(PJSIP/desk,30)", "Dial(PJSIP/18005551212@trunk,30)",
             "trunk-ungated", "lab-inbound,18005550100,2", "put Gosub(callgate,authorize"),
    dialplan("subroutine that lets some by", "exten => s,1,Gosub(", "exten => s,1,GotoIf($[1]?3)\n same => n,Gosub(",
             "trunk-ungated", "by-subroutine,_9NXXXXXX,2", "put Gosub(callgate,authorize"),
    dialplan("no filter", WAY_OUT, WAY_OUT.replace(FILTERED, "1(${EXTEN},)"), "argument-unfiltered", PLACE + "1",
             "write ${FILTER(0-9+*#,${EXTEN})}"),
    dialplan("tenant from the caller", WAY_OUT, WAY_OUT.replace(FILTERED,
             "1(${FILTER(0-9+*#,${EXTEN})},${CALLERID(num)})"),
             "argument-unfiltered", PLACE + "1", "name the tenant"),
    dialplan("open pattern", WAY_OUT, WAY_OUT.replace("_1NXXNXXXXXX", "_1N."), "pattern-open", "way-out,_1N.,1",
             "fixed length", is_error=False),
    option("g", is_error=True),
    option("U", "(sub)"),
    option("M", "(sub)"),
    option("A", "(beep)"),
    option("G", "(1^2)"),
    dialplan("no option i", GATED, f"{WAY_OUT}\n same => n,{DIAL.replace('60,i', '60,')}",
             "dial-option", PLACE + "2", "add i", is_error=False),
    dialplan("a cap of its own", GATED,
             f"{WAY_OUT}\n same => n,{DIAL.replace('60,i', '60,iL(60000)')}", "dial-cap", PLACE + "2", "remove L()"),
    dialplan("no cap", GATED, f"{WAY_OUT}\n same => n,{DIAL.replace('${CALLGATE_DIAL_OPTS}', '')}",
             "dial-cap", PLACE + "2", "add ${CALLGATE_DIAL_OPTS}"),
    dialplan("another number", GATED,
             f"{WAY_OUT}\n same => n,{DIAL.replace('${CALLGATE_DIAL}@', '${EXTEN}@')}", "dial-number", PLACE + "2",
             "dial ${CALLGATE_DIAL}"),
    dialplan("trunk that the config lacks", GATED,
             f"{WAY_OUT}\n same => n,{DIAL.replace('@trunk', '@desk')}", "trunk-unnamed", PLACE + "2",
             "trunks of that [[switch]]", is_error=False),
    dialplan("gate included", "[phones]", "[phones]\ninclude => callgate", "gate-included", "phones",
             "remove include => callgate"),
    dialplan("no include", "#include extensions-callgate.conf", "", "dialplan-missing", "extensions-callgate.conf",
             "dialplan reload"),
    Case("older include", "extensions-callgate.conf", "same => n(again),Set",
             "same => n(again),NoOp()\n same => n,Set",
         "dialplan-old", "callgate-wait,s,", "of this release", is_error=False),
    Case("open free pattern", "callgate-local.conf", "; exten => _2XXX", "exten => _2.", "pattern-open",
         "callgate-free,_2.,1", "fixed length"),
    Case("short wait", "callgate-local.conf", "CALLGATE_WAIT = 3", "CALLGATE_WAIT = 2", "deadline",
         "callgate-local.conf: CALLGATE_WAIT", "raise CALLGATE_WAIT"),
    Case("misspelt silence", "callgate-local.conf", "= refuse", "= contine", "local-setting", "callgate-local.conf",
         "refuse or continue", is_error=False),
    Case("no feature for the warning", "features.conf", "callgate-warning =>", "other =>", "warning-feature",
         "features.conf: [applicationmap]", "callgate-warning => D,self/caller", is_error=False),
    Case("redirect", "pjsip.conf", "redirect_method = user", "redirect_method = uri_core",
         " ".join(["redirect-method"] * 3), "pjsip.conf: [trunk]", "redirect_method = user"),
    Case("no times", "manager-callgate.conf", "timestampevents = yes", "timestampevents = no", "timestampevents",
             GENERAL,
         "timestampevents = yes"),
    Case("one filter less", "manager-callgate.conf", HANGUP_FILTER, "", "filter-wrong", USER, "as it is shipped"),
    Case("a filter more", "manager-callgate.conf", HANGUP_FILTER,
         HANGUP_FILTER + "eventfilter(name(Newchannel),action(include)) =\n", "filter-wrong", USER,
             "as it is shipped",
         is_error=False),
    Case("too few rights", "manager-callgate.conf", "write = call,reporting", "write = reporting", "user-too-few",
             USER,
         "write = call,reporting"),
    Case("too many rights", "manager-callgate.conf", "write = call,reporting",
             "write = call,reporting,originate,command",
         "user-too-many", USER, "write = call,reporting", is_error=False),
    Case("too few events", "manager-callgate.conf", "read = system,call,user", "read = system,user", "user-too-few",
             USER,
         "read = system,call,user"),
    Case("all events", "manager-callgate.conf", "read = system,call,user", "read = all", "user-too-many", USER,
         "read = system,call,user", is_error=False),
    Case("slow readers dropped", "manager-callgate.conf", "writetimeout = 5000", "", "writetimeout", USER,
         "writetimeout = 5000", is_error=False),
    Case("doctor let in from anywhere", "manager-callgate-doctor.conf", "deny = 0.0.0.0/0.0.0.0\ndeny = ::/0\n", "",
         "acl", "[callgate-doctor]", "as it is shipped", is_error=False, reload=False),
    Case("manager open", "manager.conf", "bindaddr = 127.0.0.1", "bindaddr = 0.0.0.0", "port-open", GENERAL,
         "bindaddr = 127.0.0.1", is_error=False, reload=False),
    Case("one session", "manager.conf", "allowmultiplelogin = yes", "allowmultiplelogin = no", "one-session", GENERAL,
         "allowmultiplelogin = yes", reload=False),
    Case("events disabled", "manager.conf", "[general]", "[general]\ndisabledevents = Newexten,Hangup",
             "events-disabled",
         GENERAL, "take them out", reload=False),
    Case("wrong user", "gateway.toml", 'name = "pbx1"', 'name = "pbx1"\nusername = "calgate"', "login user-missing",
         "switch pbx1", "username"),
    Case("wrong secret", "callgate-secret.conf", "secret = ", "secret = x", "login secret-wrong", "switch pbx1",
             "secret"),
    Case("no secret", "callgate-secret.conf", "secret = ", "; ", "secret-missing", USER,
             "write callgate-secret.conf"),
    Case("not permitted", "manager-callgate.conf", "permit = 127.0.0.1/255.255.255.255", "permit = 127.0.0.9",
             "login acl",
         "switch pbx1", "permit"),
    Case("no such port", "gateway.toml", "port = {ami_port}", "port = {free_port}", "ami", "switch pbx1",
             "enabled = yes"),
    Case("no such host", "gateway.toml", 'name = "pbx1"', 'name = "pbx1"\nhost = "nowhere.invalid"', "ami",
             "switch pbx1",
         "mend host"),
    Case("no mark on the PBX", "gateway.toml", 'name = "pbx1"', 'name = "pbx1"\nmark = "5f1d0c9ab34e7768"',
             "mark mark",
         GENERAL, "channelvars"),
    Case("metrics open", "gateway.toml", "[http]", '[http]\nhost = "0.0.0.0"', "port-open", "[http] host",
             "127.0.0.1",
         is_error=False),
]  # fmt: skip
