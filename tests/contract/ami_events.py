"""Events as Asterisk 22.10 writes them (see the recorded traces), with any value in any field."""

from dataclasses import dataclass, field

CALLER = "1732290000.7"
LEG = "1732290000.8"
VICTIM_LEG = "1732289999.4"
# What a caller writes, or a carrier, somewhere on the way: each at most 79 bytes long in chan_pjsip.
CALLERS_FIELDS = ("CallerIDNum", "ConnectedLineNum", "Exten")


def channel(uniqueid: str, state: str = "4", mark: str = "", prefix: str = "", **values: str) -> list[tuple[str, str]]:
    """The headers of one channel, in order."""
    headers = {
        "Channel": f"PJSIP/acme-{uniqueid[-1] * 8}",
        "ChannelState": state,
        "ChannelStateDesc": {"4": "Ring", "5": "Ringing", "6": "Up"}.get(state, "Down"),
        "CallerIDNum": "12125550101",
        "CallerIDName": "Acmé",
        "ConnectedLineNum": "<unknown>",
        "ConnectedLineName": "<unknown>",
        "Language": "en",
        "AccountCode": "acme",
        "Context": "phones",
        "Exten": "18005551212",
        "Priority": "2",
        "Uniqueid": uniqueid,
        "Linkedid": CALLER,
    }
    lines = [(prefix + name, values.get(prefix + name, value)) for name, value in headers.items()]
    return lines + ([(prefix + "ChanVariable", f"CALLGATE_MARK={mark}")] if mark else [])


@dataclass
class Event:
    """One event: its type, its own privilege, and what it tells."""

    name: str
    body: list[tuple[str, str]]
    privilege: str = "call,all"
    timestamp: str = "1732290001.123456"
    extra: list[tuple[str, str]] = field(default_factory=list)

    def lines(self) -> list[tuple[str, str]]:
        """All of its headers, in order."""
        stamp = [("Timestamp", self.timestamp)] if self.timestamp else []
        return [("Event", self.name), ("Privilege", self.privilege), *stamp, *self.extra, *self.body]

    def encode(self) -> bytes:
        """As bytes on the wire."""
        return ("\r\n".join(f"{name}: {value}" for name, value in self.lines()) + "\r\n\r\n").encode()


def newstate(uniqueid: str = LEG, state: str = "6", mark: str = "", **values: str) -> Event:
    """A channel changes its state."""
    return Event("Newstate", channel(uniqueid, state, mark, **values))


def hangup(uniqueid: str = LEG, cause: str = "16", mark: str = "", **values: str) -> Event:
    """A channel ends."""
    body = [*channel(uniqueid, "6", mark, **values), ("Cause", cause), ("Cause-txt", "Normal Clearing")]
    return Event("Hangup", body)


def dial(name: str, last: tuple[str, str], leg: str = LEG, mark: str = "", **values: str) -> Event:
    """DialBegin or DialEnd."""
    caller = channel(CALLER, "4", mark, **values)
    return Event(name, [*caller, *channel(leg, "0", mark, "Dest", **values), last])


def dial_begin(leg: str = LEG, mark: str = "", **values: str) -> Event:
    """A leg is dialled."""
    return dial("DialBegin", ("DialString", values.get("DialString", "18005551212@trunk")), leg, mark, **values)


def dial_end(status: str = "ANSWER", leg: str = LEG, mark: str = "", **values: str) -> Event:
    """A dial is over."""
    return dial("DialEnd", ("DialStatus", status), leg, mark, **values)


def dial_forwarded(leg: str = LEG, mark: str = "", **values: str) -> Event:
    """A dial is over because the callee sent the call on; where to is the callee's own text."""
    event = dial_end("BUSY", leg, mark, **values)
    event.body.insert(-1, ("Forward", values.get("Forward", "PJSIP/12125550199@trunk")))
    return event


def ask(uniqueid: str = CALLER, nonce: str = "42", mark: str = "", tenant: str = "acme", **values: str) -> Event:
    """The hook asks."""
    body = channel(uniqueid, "4", mark, **values)
    asked = [("Nonce", nonce), ("Number", "18005551212"), ("Tenant", tenant), ("CLI", "12125550101")]
    return Event("UserEvent", [*body, ("UserEvent", "CallGateAuthorize"), *asked], "user,all")


def silence(uniqueid: str = CALLER, mark: str = "", **values: str) -> Event:
    """The hook waited in vain."""
    body = channel(uniqueid, "4", mark, **values)
    said = [("UserEvent", "CallGateSilence"), ("Nonce", "42"), ("Decision", "refuse")]
    return Event("UserEvent", [*body, *said], "user,all")


def newchannel(uniqueid: str = CALLER, mark: str = "", **values: str) -> Event:
    """An event that the shipped filter keeps away."""
    return Event("Newchannel", channel(uniqueid, "4", mark, **values))


def status_item(
    action_id: str, uniqueid: str = LEG, state: str = "6", time_to_hangup: str = "0", **values: str
) -> bytes:
    """An item of a Status list, with the variables that the adapter asks for."""
    rest = {
        "Type": "PJSIP",
        "DNID": "",
        "EffectiveConnectedLineNum": "12125550101",
        "EffectiveConnectedLineName": "Acme",
        "TimeToHangup": time_to_hangup,
        "BridgeID": "",
        "Application": "AppDial",
        "Data": "(Outgoing Line)",
        "Nativeformats": "(ulaw)",
        "Readformat": "ulaw",
        "Readtrans": "",
        "Writeformat": "ulaw",
        "Writetrans": "",
        "Callgroup": "0",
        "Pickupgroup": "0",
        "Seconds": "0",
    }
    variables = {
        "CALLGATE_ASK": "(null)",
        "CALLGATE_VERDICT": "",
        "CALLGATE_REASON": "(null)",
        "CALLGATE_DIAL": "(null)",
        "DIALEDPEERNUMBER": "(null)",
        "CDR(answer,u)": "1732290001.000000",
    }
    lines = [*channel(uniqueid, state, **values)]
    lines += [(name, values.get(name, value)) for name, value in rest.items()]
    lines += [("Variable", f"{name}={values.get(name, value)}") for name, value in variables.items()]
    event = Event("Status", [*lines, ("ActionID", action_id)], "Call", timestamp="")
    return event.encode()


def list_start(action_id: str) -> bytes:
    """The answer that a list follows."""
    return (
        f"Response: Success\r\nActionID: {action_id}\r\nEventList: start\r\nMessage: Channel status will follow\r\n\r\n"
    ).encode()


def list_end(action_id: str, items: int) -> bytes:
    """The end of a Status list."""
    return (
        f"Event: StatusComplete\r\nActionID: {action_id}\r\nEventList: Complete\r\n"
        f"ListItems: {items}\r\nItems: {items}\r\n\r\n"
    ).encode()
