"""Rows that join callgate's figures with those of Asterisk's own res_prometheus (res/prometheus/*.c of Asterisk 22).

Asterisk does not know what callgate calls it: the label ``switch`` comes from the scrape (config/grafana/README.md).
"""

from typing import Final

from .grafana import Row
from .panels import (
    PER_MINUTE,
    Column,
    series,
    table,
    timeline,
)
from .words import SW, of, rate

NEEDS: Final = "(needs res_prometheus, and the label switch: config/grafana/README.md)"
OFFLINE: Final = f"count by (switch) ({of('asterisk_endpoints_state', SW)} == 1)"
# Per call and per channel Asterisk has more: labels without a bound, which the scrape is told to leave out.
METRICS: Final = {
    "asterisk_calls_count": ("eid", "switch"),
    "asterisk_calls_sum": ("eid", "switch"),
    "asterisk_channels_count": ("eid", "switch"),
    "asterisk_core_uptime_seconds": ("eid", "switch"),
    "asterisk_endpoints_channels_count": ("eid", "id", "resource", "switch", "tech"),
    "asterisk_endpoints_count": ("eid", "switch"),
    "asterisk_endpoints_state": ("eid", "id", "resource", "switch", "tech"),
    "asterisk_pjsip_outbound_registration_status": ("channel_type", "domain", "eid", "switch", "username"),
}

BESIDE: Final = Row(
    f"Beside Asterisk's own figures {NEEDS}",
    8,
    (
        series(
            "Calls on the PBX, and metered ones",
            "Calls that Asterisk has, and those that callgate meters: what lies between is unmetered, or went past it.",
            ("sum by (switch) (asterisk_calls_count)", "{{switch}} on the PBX"),
            ("sum by (switch) (callgate_calls_live)", "{{switch}} metered"),
        ),
        series(
            "Part of the PBX's calls that is metered",
            "Metered calls per call of the PBX; a fall without a reason is a way round the gate.",
            (
                "sum by (switch) (callgate_calls_live) / on (switch) (sum by (switch) (asterisk_calls_count) > 0)",
                "{{switch}}",
            ),
            unit="percentunit",
        ),
        series(
            "New calls on the PBX, and asks",
            "Calls that Asterisk began, and asks that got a verdict: more calls than asks are calls that did not ask.",
            (rate("asterisk_calls_sum", times=60), "calls of the PBX"),
            (rate("callgate_authorizations_total", times=60), "asks"),
            unit=PER_MINUTE,
        ),
    ),
    is_folded=True,
)

INSIDE: Final = Row(
    f"Asterisk's own figures {NEEDS}",
    8,
    (
        series(
            "Channels and calls",
            "Channels and calls that Asterisk has, beside the calls that are metered.",
            (f"sum by (switch) ({of('asterisk_channels_count', SW)})", "{{switch}} channels"),
            (f"sum by (switch) ({of('asterisk_calls_count', SW)})", "{{switch}} calls"),
            (f"sum by (switch) ({of('callgate_calls_live', SW)})", "{{switch}} metered"),
            width=8,
        ),
        series(
            "Up for",
            "How long Asterisk has run: where it begins anew, the calls of before are gone: settled or released.",
            (of("asterisk_core_uptime_seconds", SW), "{{switch}}"),
            unit="s",
            width=8,
        ),
        series(
            "Endpoints that are offline",
            "Endpoints that Asterisk cannot reach: a trunk that is offline fails calls that callgate allowed.",
            (f"{OFFLINE} or sum by (switch) ({of('asterisk_endpoints_count', SW)}) * 0", "{{switch}}"),
            width=8,
        ),
        table(
            "Trunks and phones",
            "Endpoints by the channels they have now, and their state: 2 is online, 1 offline, 0 unknown.",
            ("switch", "id"),
            Column("channels", f"sum by (switch, id) ({of('asterisk_endpoints_channels_count', SW)})"),
            Column(
                "state",
                f"max by (switch, id) ({of('asterisk_endpoints_state', SW)})",
                "none",
                ((None, "text"), (1, "red"), (2, "green")),
            ),
            sort="channels",
            width=12,
        ),
        timeline(
            "Registrations with carriers",
            "What carriers say of the registrations that Asterisk sends them; a switch that sends none has no band.",
            (of("asterisk_pjsip_outbound_registration_status", SW), "{{switch}} {{username}}"),
            words={0: ("unregistered", "red"), 1: ("registered", "green"), 2: ("rejected", "red")},
            width=12,
        ),
    ),
    is_folded=True,
)
