"""All that the calls of one switch reach for."""

from collections.abc import Callable
from dataclasses import dataclass, field

from gateway.ports import NOBODY, CDRSink, Ledger, Onlooker, SettleQueue, Switch, Watch
from gateway.service.alarms import Alarms
from gateway.service.exposure import Exposures
from gateway.service.guard import Tenure


@dataclass(frozen=True, slots=True)
class World:
    """What the sessions of one switch share."""

    ledger: Ledger
    queue: SettleQueue
    switch: Switch
    watch: Watch
    sink: CDRSink
    outbox_written: Callable[[str], None]  # a tenant's outbox has something to deliver
    exposures: Exposures
    tenure: Tenure = field(default_factory=Tenure)
    onlooker: Onlooker = NOBODY
    alarms: Alarms = field(default_factory=Alarms)
