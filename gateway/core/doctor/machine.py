"""Clocks, ports and files: what is wrong around the gateway, the PBX and the books."""

import ipaddress
import stat
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from gateway.core.doctor.report import Finding, error, warning, whole

MOST_SKEW_MS: Final = 1000
DOCTOR_DAYS: Final = 1
_VERDICT_ROOM_MS: Final = 500  # a verdict wants some time to arrive
_LONGEST_WAIT_SECONDS: Final = 60
_LOCAL: Final = "callgate-local.conf"
_RELOAD: Final = "and run dialplan reload"


def check_clock(ahead_ms: int, where: str, whose: str) -> Iterator[Finding]:
    """A clock beside this machine's."""
    if abs(ahead_ms) > MOST_SKEW_MS:
        way = "ahead of" if ahead_ms > 0 else "behind"
        yield warning(
            "clock",
            f"the clock of {whose} is {abs(ahead_ms) / 1000:.1f} s {way} this machine's",
            where,
            "let all machines keep time by NTP: validity, limits by the hour and call records depend on it",
        )


def check_globals(values: Mapping[str, str], deadline_ms: int, *, has_feature: bool | None) -> Iterator[Finding]:
    """The settings of callgate-local.conf. ``has_feature``: of the warning; None where it cannot be seen."""
    told = values.get("CALLGATE_WAIT", "")
    seconds = whole(told) or 0
    if told and not 1 <= seconds <= _LONGEST_WAIT_SECONDS:
        remedy = f"write whole seconds, 1 to {_LONGEST_WAIT_SECONDS}, {_RELOAD}"
        yield warning("local-setting", f"CALLGATE_WAIT is {told}, and 3 is used", _LOCAL, remedy)
    wait_ms = 1000 * (seconds if 1 <= seconds <= _LONGEST_WAIT_SECONDS else 3)
    if deadline_ms > wait_ms - _VERDICT_ROOM_MS:
        yield error(
            "deadline",
            f"a verdict may take {deadline_ms} ms and the dialplan waits {wait_ms} ms for it",
            f"{_LOCAL}: CALLGATE_WAIT",
            f"raise CALLGATE_WAIT {_RELOAD}, or lower deadline_ms of [verdict] in gateway.toml",
        )
    silence = values.get("CALLGATE_ON_SILENCE", "")
    if silence not in {"", "refuse", "continue"}:
        remedy = f"write refuse or continue, {_RELOAD}"
        yield warning("local-setting", f"CALLGATE_ON_SILENCE is {silence}: calls are refused", _LOCAL, remedy)
    cap = values.get("CALLGATE_SILENCE_CAP_MS", "")
    if silence == "continue" and cap and not whole(cap):
        remedy = f"write milliseconds, 1 to 999999999, {_RELOAD}"
        yield warning("local-setting", f"CALLGATE_SILENCE_CAP_MS is {cap}: calls are refused", _LOCAL, remedy)
    if values.get("CALLGATE_WARNING") == "yes" and has_feature is False:
        yield warning(
            "warning-feature",
            "callers are to be warned, and features.conf has no callgate-warning: the far end hears a digit instead",
            "features.conf: [applicationmap]",
            "add callgate-warning => D,self/caller,Gosub(callgate-warn,s,1), and run module reload features",
        )


def check_mark(mark: str, value: str) -> Iterator[Finding]:
    """The secret of CALLGATE_MARK, where the config has one."""
    if mark and value != mark:
        what = "is not set on the PBX" if not value else "is another one on the PBX"
        yield error(
            "mark",
            f"the mark of gateway.toml {what}: the gateway believes no event",
            f"{_LOCAL}: CALLGATE_MARK",
            f"write the same into both, {_RELOAD}; then restart callgate",
        )


def check_redirects(methods: Mapping[str, str]) -> Iterator[Finding]:
    """Of trunks of PJSIP: whether a 302 from the far end chooses where a call goes, past the gate."""
    for endpoint, method in methods.items():
        if method != "user":
            yield error(
                "redirect-method",
                f"the trunk {endpoint} has redirect_method {method}: a 302 from the far end is dialled past the gate",
                f"pjsip.conf: [{endpoint}]",
                "write redirect_method = user, and run pjsip reload",
            )


def check_modes(modes: Sequence[tuple[str, int]]) -> Iterator[Finding]:
    """Files that hold secrets, and their modes."""
    for path, mode in modes:
        if mode & stat.S_IROTH:
            what = "this holds a secret that every user of this machine can read"
            yield error("secret-readable", what, path, f"run chmod o-rwx {path}")


def check_http(host: str, port: int) -> Iterator[Finding]:
    """The pages for Prometheus, which ask for no password."""
    if port and not is_loopback(host):
        yield warning(
            "port-open",
            f"/metrics is open to who reaches {host}, without a password",
            "gateway.toml: [http] host",
            "keep it on 127.0.0.1, or let a firewall pass the one machine that scrapes it",
        )


def check_api(host: str, *, is_on: bool, has_tls: bool) -> Iterator[Finding]:
    """The HTTP API."""
    if is_on and not has_tls and not is_loopback(host):
        yield warning(
            "port-open",
            f"the API listens on {host} without TLS: tokens can be read on the way",
            "gateway.toml: [api] host",
            "name tls_cert and tls_key, or keep it on 127.0.0.1 behind a proxy that has TLS",
        )


def check_age(days: float, where: str) -> Iterator[Finding]:
    """The doctor's own user, which is to be short-lived."""
    if days > DOCTOR_DAYS:
        yield warning(
            "doctor-on",
            f"a secret that is {days:.0f} days old lets the doctor's user in, who may do what the gateway's may not",
            where,
            "remove manager-callgate-doctor.conf and callgate-doctor-secret.conf from the PBX, and run manager reload; "
            "next time write a fresh secret",
        )


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches it."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
