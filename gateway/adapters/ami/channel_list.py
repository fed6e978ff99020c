"""Items of a ``Status`` list to ChannelStatus.

A listing has all channels of a switch in memory at once: what many of them have alike is there once.
"""

import re
from sys import intern

from gateway.adapters.ami.facts import UP
from gateway.adapters.ami.messages import Message
from gateway.adapters.ami.shapes import UNIQUEID, status_fault
from gateway.core.facts import ChannelStatus

VARIABLES = (
    "CALLGATE_ASK", "CALLGATE_VERDICT", "CALLGATE_REASON", "CALLGATE_DIAL", "DIALEDPEERNUMBER", "CDR(answer,u)",
)  # fmt: skip
UNSET = "(null)"  # what printf makes of a variable that is not there (generate_status in main/manager.c)
_NO_DNID = ("", UNSET)
_SECONDS = re.compile(r"[0-9]{1,11}")


def read_item(message: Message, mark: str = "") -> ChannelStatus:
    """One item. Raises ValueError, with why, for one that is not genuine: then the list is not whole."""
    fault = status_fault(message, VARIABLES, mark)
    if fault:
        raise ValueError(fault)
    headers = message.headers
    if not UNIQUEID.fullmatch(headers["Uniqueid"]) or not _SECONDS.fullmatch(headers["TimeToHangup"]):
        raise ValueError("a Status item with a Uniqueid or a TimeToHangup that cannot be")
    variables = {}
    for name, (_, text) in zip(VARIABLES, message.pairs[-1 - len(VARIABLES) : -1], strict=True):  # so checked
        value = text.partition("=")[2]
        if value not in ("", UNSET):
            variables[name] = value
    uniqueid, linkedid = headers["Uniqueid"], headers["Linkedid"]
    return ChannelStatus(
        uniqueid=uniqueid,
        linkedid=uniqueid if linkedid == uniqueid else linkedid,
        name=headers["Channel"],
        is_up=headers["ChannelState"] == UP,
        hangup_at_ms=int(headers["TimeToHangup"]) * 1000,
        accountcode=intern(headers["AccountCode"]),
        dnid="" if headers["DNID"] in _NO_DNID else headers["DNID"],
        variables=variables,
    )
