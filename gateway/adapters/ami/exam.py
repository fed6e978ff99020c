"""What the doctor sees of a PBX: as the gateway's user, and as its own where that one is on.

Nothing is changed, no trunk is rung and nobody pays. The test ask is a Local channel into a context of the include that
dials nothing, whatever it is told; its payer is a tenant that nobody has.
"""

import secrets
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

from gateway.adapters.ami.facts import timestamp_us
from gateway.adapters.ami.messages import Message
from gateway.adapters.ami.settings import AmiSettings
from gateway.adapters.ami.visit import Visit, VisitError, visit
from gateway.core.doctor.ask import Answer, Trial
from gateway.core.doctor.dialplan import Dialplan, Line
from gateway.core.doctor.gate import GATE
from gateway.core.doctor.lint import trunk_endpoints
from gateway.core.doctor.manager import Settings
from gateway.core.doctor.pbx import Files, PbxFacts
from gateway.core.doctor.report import Finding, error, short, whole

DOCTOR: Final = "callgate-doctor"
CONFIG_FOLDER: Final = "ASTETCDIR"
_GLOBALS: Final = (
    "CALLGATE_WAIT", "CALLGATE_ON_SILENCE", "CALLGATE_SILENCE_CAP_MS", "CALLGATE_WARNING", "CALLGATE_MARK",
    CONFIG_FOLDER,
)  # fmt: skip
_TEST_CONTEXT: Final = "callgate-doctor"
_LATE_SECONDS: Final = 1.0  # the gateway's time to answer, before the doctor does
_LONGEST_MS: Final = 65_000  # a wait has 60 s at most
_MOST_ENDPOINTS: Final = 1000
_NOT_PERMITTED: Final = "Permission denied"


@dataclass(frozen=True, slots=True)
class Doctor:
    """The doctor's own user."""

    secret: str
    source: str  # where its secret was found


async def look(settings: AmiSettings, trunks: Sequence[str], doctor: Doctor | None) -> PbxFacts:
    """Look at one PBX. Whatever is wrong is a finding, never an exception."""
    where = f"switch {settings.name} ({settings.host}:{settings.port})"
    try:
        async with _visit(settings) as probe:
            address = probe.address
    except VisitError as fault:
        return PbxFacts(where, (_unreachable(fault, settings, where),))
    try:
        async with _doctor_in(settings, doctor) as (helper, unseen):
            return await _Exam(settings, trunks, where, address).run(helper, unseen)
    except VisitError as fault:
        what = f"the manager did not keep up the session: {short(str(fault))}"
        return PbxFacts(where, (error("ami", what, where, "look at Asterisk's log; then run the doctor again"),))


@asynccontextmanager
async def _doctor_in(settings: AmiSettings, doctor: Doctor | None) -> AsyncIterator[tuple[Visit | None, str]]:
    """The doctor's session, or why there is none."""
    cannot = "not looked at: manager.conf, its filters and access rules, redirect_method, the hook"
    if doctor is None:
        how = "put config/asterisk/manager-callgate-doctor.conf on the PBX and name its secret by --doctor-secret-file"
        yield None, f"{cannot}: there is no doctor's user ({how})"
        return
    async with _visit(settings) as helper:
        reply = await helper.log_in(DOCTOR, doctor.secret, events=False)
        if reply.headers.get("Response") == "Success":
            yield helper, ""
        else:
            told = short(reply.headers.get("Message", ""), 80)
            yield (
                None,
                f"{cannot}: Asterisk refused {DOCTOR} with the secret of {doctor.source} ({told}); it may be off",
            )


def _visit(settings: AmiSettings) -> AbstractAsyncContextManager[Visit]:
    return visit(settings.host, settings.port, settings.connect_seconds, settings.login_seconds)


def _unreachable(fault: VisitError, settings: AmiSettings, where: str) -> Finding:
    told = short(str(fault), 120)
    remedies = {
        "refused": "start Asterisk; in manager.conf, [general], write enabled = yes, and port and bindaddr as in "
        "gateway.toml; a change of these wants a restart",
        "silent": "see that host and port are those of manager.conf, and that no firewall is between",
        "tls": "name port of manager.conf, [general], in gateway.toml: callgate speaks no TLS to it (tlsbindaddr); "
        "over a network lead it through a tunnel",
        "stranger": "name the port of manager.conf, [general], in gateway.toml: something else listens at this one",
        "unknown": "mend host in gateway.toml",
    }
    what = {"refused": "no manager listens there", "tls": "the port speaks TLS"}.get(
        fault.kind, f"no manager answers ({told})"
    )
    return error(
        "ami", what, where, remedies.get(fault.kind, f"look at Asterisk's log; port {settings.port} was tried")
    )


class _Exam:
    """One look."""

    def __init__(self, settings: AmiSettings, trunks: Sequence[str], where: str, address: str) -> None:
        self._settings = settings
        self._trunks = trunks
        self._where = where
        self._address = address

    async def run(self, helper: Visit | None, cannot: str) -> PbxFacts:
        """Log in as the gateway's user; where that fails the doctor's tells why."""
        settings = self._settings
        unseen = [cannot] if cannot else []
        files = await self._files(helper, unseen) if helper is not None else None
        async with _visit(settings) as service:
            reply = await service.log_in(settings.username, settings.secret, events=True)
            is_in = reply.headers.get("Response") == "Success"
            looker = service if is_in else helper
            told = () if is_in else (self._refused(reply, files),)
            if looker is None:
                return PbxFacts(self._where, told, unseen=tuple(unseen))  # nobody was let in
            dialplan, why_not = await _dialplan(looker)
            if why_not:
                unseen.append(why_not)
            if helper is not None and dialplan is not None and not _can_be_tried(dialplan):
                unseen.append(f"not tried: the hook; the dialplan has no context {_TEST_CONTEXT}, the include is older")
            redirects, starts = await _endpoints(helper, dialplan, self._trunks)
            values = await _values(looker)
            return PbxFacts(
                self._where,
                told,
                files=files,
                actions=await _actions(service) if is_in else None,
                dialplan=dialplan,
                starts=starts,
                values=values,
                redirects=redirects,
                clock_ahead_ms=await _clock_ahead_ms(looker),
                trial=await _trial(helper, service, _late_seconds(values["CALLGATE_WAIT"]))
                if helper is not None and is_in and _can_be_tried(dialplan)
                else None,
                unseen=tuple(unseen),
                has_doctor=helper is not None,
            )

    def _refused(self, reply: Message, files: Files | None) -> Finding:
        user, told = self._settings.username, short(reply.headers.get("Message", ""), 80)
        remedy = "see username and secret in gateway.toml, and secret and permit of that user in manager.conf"
        if files is not None:
            remedy += "; the doctor's other findings tell which, or manager reload is due"
        if "Already In Use" in told:
            remedy = "write allowmultiplelogin = yes in manager.conf, and run manager reload: two sessions are needed"
        return error(
            "login", f"Asterisk refused the gateway's user {user} from {self._address} ({told})", self._where, remedy
        )

    async def _files(self, helper: Visit, unseen: list[str]) -> Files | None:
        general = await _category(helper, "manager.conf", "general")
        user = await _category(helper, "manager.conf", self._settings.username)
        if general is None:
            unseen.append(f"not looked at: manager.conf, which {DOCTOR} may not read; give it write = system")
            return None
        features = await _category(helper, "features.conf", "applicationmap")
        has_feature = None if features is None else any(name == "callgate-warning" for name, _ in features)
        own = await _category(helper, "manager.conf", DOCTOR)
        return Files(general, user or None, has_feature, own or ())


# ----------------------------------------------------------------------------------------------------- what is asked


async def _category(helper: Visit, file: str, category: str) -> Settings | None:
    """The lines of a section, of all of that name; empty where there is none, None where it may not be read."""
    reply = await helper.ask("GetConfig", ("Filename", file), ("Category", category))
    if reply.headers.get("Response") != "Success":
        return None if _NOT_PERMITTED in reply.headers.get("Message", "") else ()
    lines = [value.partition("=") for name, value in reply.pairs if name.startswith("Line-")]
    return tuple((name if name.startswith("eventfilter") else name.lower(), value) for name, _, value in lines)


async def _actions(service: Visit) -> list[tuple[str, str]]:
    """The actions that the user may use, with what Asterisk says of each, its classes at the end."""
    reply = await service.ask("ListCommands")
    return [(name, text) for name, text in reply.pairs if "(Priv: " in text]


async def _values(looker: Visit) -> dict[str, str]:
    found = {}
    for name in _GLOBALS:
        reply = await looker.ask("Getvar", ("Variable", name))
        found[name] = reply.headers.get("Value", "")
    return found


async def _clock_ahead_ms(looker: Visit) -> int:
    before = time.time()
    reply = await looker.ask("Ping")
    here = (before + time.time()) / 2
    try:
        return round(timestamp_us(reply.headers.get("Timestamp", "")) / 1000 - here * 1000)
    except ValueError:
        return 0


async def _dialplan(looker: Visit) -> tuple[Dialplan | None, str]:
    try:
        items = await looker.ask_list("ShowDialPlan")
    except VisitError as fault:
        return None, f"not looked at: the dialplan ({short(str(fault))})"
    if not items:
        return None, "not looked at: the dialplan, which the user may not list (it needs write = reporting)"
    lines, includes = [], dict[str, list[str]]()
    for item in items:
        headers = item.headers
        context = headers.get("Context", "")
        if "IncludeContext" in headers:
            includes.setdefault(context, []).append(headers["IncludeContext"].partition("|")[0].partition(",")[0])
        elif (priority := whole(headers.get("Priority", ""))) is not None:
            lines.append(
                Line(
                    context,
                    headers.get("Extension", ""),
                    priority,
                    headers.get("ExtensionLabel", ""),
                    headers.get("Application", ""),
                    headers.get("AppData", ""),
                )
            )
    return Dialplan(lines, includes), ""


def _can_be_tried(dialplan: Dialplan | None) -> bool:
    return dialplan is not None and {GATE, _TEST_CONTEXT} <= dialplan.contexts.keys()


async def _endpoints(
    helper: Visit | None, dialplan: Dialplan | None, trunks: Sequence[str]
) -> tuple[dict[str, str], frozenset[str] | None]:
    """The redirect_method of trunks of PJSIP, and the contexts that its endpoints start in."""
    if helper is None or dialplan is None:
        return {}, None
    names = [item.headers.get("ObjectName", "") for item in await helper.ask_list("PJSIPShowEndpoints")]
    outward = set(trunk_endpoints(dialplan, trunks))
    outward |= {name for name in names if any(fnmatchcase(f"PJSIP/{name}", trunk) for trunk in trunks)}
    redirects, starts = {}, set()
    for name in sorted(set(names[:_MOST_ENDPOINTS]) | (outward & set(names))):
        for item in await helper.ask_list("PJSIPShowEndpoint", ("Endpoint", name)):
            if item.headers.get("Event") == "EndpointDetail":
                starts.add(item.headers.get("Context", ""))
                if name in outward:
                    redirects[name] = item.headers.get("RedirectMethod", "user")
    return redirects, frozenset(starts)


# ------------------------------------------------------------------------------------------------------ the test ask


def _late_seconds(wait: str) -> float:
    """The gateway's time to answer; the doctor wants as much of the wait for itself."""
    return min(_LATE_SECONDS, (whole(wait) or 3) / 2)


async def _trial(helper: Visit, service: Visit, late_seconds: float) -> Trial:
    """Let a channel ask, and see who answers it."""
    tenant = f"doctor{secrets.token_hex(8)}"
    service.events.clear()  # those of live calls
    reply = await helper.ask(
        "Originate",
        ("Channel", f"Local/s@{_TEST_CONTEXT}/n"),
        ("Application", "Wait"),
        ("Data", "1"),
        ("Async", "true"),
        ("Timeout", str(_LONGEST_MS)),
        ("Variable", f"CALLGATE_DOCTOR={tenant}"),
    )
    if reply.headers.get("Response") != "Success":
        return Trial(Answer.NOT_MADE, reply.headers.get("Message", ""))
    ask = await service.event(
        lambda event: event.headers.get("UserEvent") == "CallGateAuthorize" and event.headers.get("Tenant") == tenant,
        _LATE_SECONDS,
    )
    if ask is None:
        return Trial(Answer.NOT_ASKED)
    answer = await _answered(service, ask.headers, late_seconds)
    about = [event for event in service.events if event.headers.get("Uniqueid") == ask.headers.get("Uniqueid")]
    return Trial(
        answer,
        events=frozenset(event.headers.get("Event", "") for event in about),
        has_times="Timestamp" in ask.headers,
    )


async def _answered(service: Visit, ask: dict[str, str], late_seconds: float) -> Answer:
    """Who ended the wait. ``CallGateSilence`` says that nobody did."""
    uniqueid, nonce = ask.get("Uniqueid", ""), ask.get("Nonce", "")

    def is_over(event: Message) -> bool:
        headers = event.headers
        is_end = headers.get("Event") == "Hangup" or headers.get("UserEvent") == "CallGateSilence"
        return is_end and headers.get("Uniqueid") == uniqueid

    channel = ("Channel", uniqueid)
    over = await service.event(is_over, late_seconds)
    answer = Answer.GATEWAY
    if over is None and await _is_there(service, channel):
        answer = Answer.DOCTOR
        verdict = f"{nonce}:deny:::unknown_tenant:21"
        await service.ask("Setvar", channel, ("Variable", "CALLGATE_VERDICT"), ("Value", verdict))
        await service.ask("PlayDTMF", channel, ("Digit", "D"), ("Receive", "true"))
        over = await service.event(is_over, _LATE_SECONDS)
        if over is None and await _is_there(service, channel):
            return Answer.NOBODY
    if over is not None and over.headers.get("UserEvent") == "CallGateSilence":
        return Answer.NOBODY
    return answer


async def _is_there(service: Visit, channel: tuple[str, str]) -> bool:
    """Whether the channel still waits; its end may be kept from the gateway's user."""
    return bool(await service.ask_list("Status", channel))
