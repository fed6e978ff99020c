"""The text that a simulated PBX writes to AMI: headers in the order of Asterisk 22.

Sources: ``main/manager_channels.c`` (snapshots, dial and hangup events), ``main/stasis.c`` (UserEvent),
``main/manager.c`` (replies, Status, lists), and the recorded traces of ``tests/replay``.
"""

from collections.abc import Iterable

from gateway.demo.channels import STATE_TEXT, UP, Channel

BANNER = b"Asterisk Call Manager/11.0.0\r\n"

_CAUSE_TEXT = {
    0: "Unknown",
    16: "Normal Clearing",
    19: "User alerting, no answer",
    21: "Call Rejected",
    28: "Invalid number format",
    38: "Network out of order",
}
_TECH_CAUSE = {
    21: 403,
    28: 484,
    38: 500,
}  # the SIP answer of a refusal (traces of 22.10)


def snapshot(channel: Channel, prefix: str = "") -> str:
    """The fourteen headers of a channel, ``prefix`` before each name (``Dest`` for the far leg of a dial)."""
    return (
        f"{prefix}Channel: {channel.name}\r\n"
        f"{prefix}ChannelState: {channel.state}\r\n"
        f"{prefix}ChannelStateDesc: {STATE_TEXT[channel.state]}\r\n"
        f"{prefix}CallerIDNum: {channel.number or '<unknown>'}\r\n"
        f"{prefix}CallerIDName: <unknown>\r\n"
        f"{prefix}ConnectedLineNum: {channel.connected or '<unknown>'}\r\n"
        f"{prefix}ConnectedLineName: <unknown>\r\n"
        f"{prefix}Language: en\r\n"
        f"{prefix}AccountCode: {channel.accountcode}\r\n"
        f"{prefix}Context: {channel.context}\r\n"
        f"{prefix}Exten: {channel.exten}\r\n"
        f"{prefix}Priority: {channel.priority}\r\n"
        f"{prefix}Uniqueid: {channel.uniqueid}\r\n"
        f"{prefix}Linkedid: {channel.linkedid}\r\n"
    )


def event(name: str, privilege: str, at_seconds: float, body: str) -> bytes:
    """One event with the PBX's own time, as ``timestampevents=yes`` makes it."""
    head = f"Event: {name}\r\nPrivilege: {privilege},all\r\nTimestamp: {at_seconds:.6f}\r\n"
    return f"{head}{body}\r\n".encode()


def cause(cause_q850: int, *, is_refusal: bool) -> str:
    """The last headers of a Hangup event."""
    tech = f"TechCause: {_TECH_CAUSE.get(cause_q850, 603)}\r\n" if is_refusal else ""
    return f"Cause: {cause_q850}\r\nCause-txt: {_CAUSE_TEXT.get(cause_q850, 'Unknown')}\r\n{tech}"


def fully_booted(uptime_seconds: int) -> bytes:
    """What a login with read ``system`` is greeted with. Written by the login itself: it has no Timestamp."""
    return (
        "Event: FullyBooted\r\nPrivilege: system,all\r\n"
        f"Uptime: {uptime_seconds}\r\nLastReload: {uptime_seconds}\r\nStatus: Fully Booted\r\n\r\n"
    ).encode()


def reply(action_id: str, response: str, *lines: str) -> bytes:
    """A response; an ActionID that was not given is not echoed."""
    echo = f"ActionID: {action_id}\r\n" if action_id else ""
    body = "\r\n".join(lines)
    return f"Response: {response}\r\n{echo}{body}\r\n\r\n".encode()


def ok(action_id: str, message: str) -> bytes:
    """A plain success."""
    return reply(action_id, "Success", f"Message: {message}")


def error(action_id: str, message: str) -> bytes:
    """A plain failure."""
    return reply(action_id, "Error", f"Message: {message}")


def status_item(channel: Channel, action_id: str, epoch: float, now: float, names: Iterable[str]) -> bytes:
    """One ``Status`` event. ``epoch`` + the loop's time = the PBX's; ``names``: the Variables asked for."""
    to_hangup = int(channel.hangup_at + epoch) if channel.hangup_at else 0
    variables = "".join(f"Variable: {name}={_variable(channel, name, now)}\r\n" for name in names)
    echo = f"ActionID: {action_id}\r\n" if action_id else ""
    bridge = channel.linkedid if channel.state == UP else ""
    connected = channel.connected or "<unknown>"
    return (
        f"Event: Status\r\nPrivilege: Call\r\n{snapshot(channel)}Type: PJSIP\r\nDNID: \r\n"
        f"EffectiveConnectedLineNum: {connected}\r\nEffectiveConnectedLineName: <unknown>\r\n"
        f"TimeToHangup: {to_hangup}\r\nBridgeID: {bridge}\r\n"
        f"Application: {channel.application}\r\nData: {channel.data}\r\n"
        "Nativeformats: (ulaw)\r\nReadformat: ulaw\r\nReadtrans: \r\nWriteformat: ulaw\r\nWritetrans: \r\n"
        f"Callgroup: 0\r\nPickupgroup: 0\r\nSeconds: {int(now - channel.created_at)}\r\n{variables}{echo}\r\n"
    ).encode()


def status_complete(action_id: str, items: int) -> bytes:
    """The end of a ``Status`` list, with its count."""
    echo = f"ActionID: {action_id}\r\n" if action_id else ""
    return (
        f"Event: StatusComplete\r\n{echo}EventList: Complete\r\nListItems: {items}\r\nItems: {items}\r\n\r\n"
    ).encode()


def _variable(channel: Channel, name: str, now: float) -> str:
    if name == "TIMEOUT(absolute)":  # func_timeout.c: seconds with three decimals, 0 for none
        return f"{max(0.0, channel.hangup_at - now):.3f}" if channel.hangup_at else "0"
    return channel.variables.get(name, "(null)")  # what %s makes of a variable that is not set
