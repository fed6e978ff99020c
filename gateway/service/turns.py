"""Asks wait here for their turn: tenants take turns, so that a flood by one does not delay the others.

Rules:

- With nothing waiting an ask is taken at once. In one turn of the loop only so many are: then other messages are read.
- Of one tenant only so many wait for the ledger at a time: what a slow ledger holds up is its own.
- Whoever waits past its deadline is dropped before any work is done for it: its dialplan has decided by itself.
- Beyond the bounds an ask is refused at once, as ``overload``. An emergency call never waits.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable

from gateway.core.facts import Ask

# Deciding one takes some 0.2 ms: a turn of these holds nothing up for more than 2 ms.
A_TURN = 8
DROPS_FOR_ONE = 16  # to drop one that is late costs so much less
# Waiting for the ledger, of one tenant at one switch: their answers come before that to another's ask. At 1 ms a step
# they are 16,000 asks a second. Measured with 2,000 asks a second by one tenant, the median wait of another's: 40 ms
# behind 256 of these, 16 behind 32, 6 behind 16; and no more CPU for an ask.
MOST_ASKING = 16
# Waiting for their turn, of one tenant and of all at one switch. More could not be decided before their deadline.
MOST_OF_TENANT = 1_000
MOST_IN_ALL = 10_000


class Turns:
    """The asks of one switch that were not looked at yet.

    ``take`` decides one, and says whether there was anything to do; ``refuse`` tells one that there is no room. Who
    takes calls ``ask_ledger`` for each ask that waits for the ledger then, and ``decided`` when it does no more.
    """

    def __init__(self, take: Callable[[Ask], bool], refuse: Callable[[Ask], None]) -> None:
        self._take = take
        self._refuse = refuse
        self._waiting: dict[str, OrderedDict[str, Ask]] = {}  # tenant -> uniqueid -> ask, the oldest first
        self._tenants: dict[str, str] = {}  # of each uniqueid that waits
        self._order: deque[str] = deque()  # tenants whose turn comes
        self._held: set[str] = set()  # tenants that wait for the ledger first
        self._asking: dict[str, int] = {}
        self._left = A_TURN * DROPS_FOR_ONE  # of this turn of the loop
        self._is_due = False
        self.refused = 0
        # When the one was asked that has waited longest, as of the last turn, on the PBX's clock; 0: none waits.
        self.oldest_at_ms = 0

    def __len__(self) -> int:
        """How many wait."""
        return len(self._tenants)

    @property
    def asking(self) -> int:
        """How many wait for the ledger."""
        return sum(list(self._asking.values()))  # also asked by the thread of a scrape

    def put(self, tenant: str, ask: Ask) -> None:
        """Take an ask now or in its turn. One channel waits with one ask: with the first telling of its last one."""
        waits_for = self._tenants.get(ask.uniqueid)
        if waits_for is not None:
            if self._waiting[waits_for][ask.uniqueid].nonce == ask.nonce:
                return
            self.forget(ask.uniqueid)
        if not self._tenants and self._left > 0 and self._may_ask(tenant):
            self._due()
            self._take_one(ask)
        elif len(self._waiting.get(tenant, ())) >= MOST_OF_TENANT or len(self._tenants) >= MOST_IN_ALL:
            self.refused += 1
            self._refuse(ask)
        else:
            self._wait(tenant, ask)

    def forget(self, uniqueid: str, nonce: str = "") -> None:
        """Its channel is gone, or waits no more with the ask of that nonce: it may wait with a later one."""
        tenant = self._tenants.get(uniqueid)
        if tenant is None:
            return
        asks = self._waiting[tenant]
        if nonce not in {"", asks[uniqueid].nonce}:
            return
        del self._tenants[uniqueid], asks[uniqueid]
        if not asks:
            del self._waiting[tenant]
        if not self._tenants:
            self.oldest_at_ms = 0

    def stop(self) -> None:
        """Take no more."""
        self._waiting.clear()
        self._tenants.clear()
        self.oldest_at_ms = 0

    def ask_ledger(self, tenant: str) -> None:
        """One more of its asks waits for the ledger."""
        self._asking[tenant] = self._asking.get(tenant, 0) + 1

    def decided(self, tenant: str) -> None:
        """One of them does no more."""
        left = self._asking.get(tenant, 0) - 1
        if left > 0:
            self._asking[tenant] = left
        else:
            self._asking.pop(tenant, None)
        if tenant in self._held:
            self._held.discard(tenant)
            self._order.append(tenant)
            self._due()

    def _may_ask(self, tenant: str) -> bool:
        return self._asking.get(tenant, 0) < MOST_ASKING

    def _wait(self, tenant: str, ask: Ask) -> None:
        if tenant not in self._waiting:
            self._waiting[tenant] = OrderedDict()
            if tenant not in self._order and tenant not in self._held:
                self._order.append(tenant)
        self._waiting[tenant][ask.uniqueid] = ask
        self._tenants[ask.uniqueid] = tenant
        self.oldest_at_ms = self.oldest_at_ms or ask.at_ms
        self._due()

    def _due(self) -> None:
        if not self._is_due:
            self._is_due = True
            asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        """One ask of each tenant, again and again, until the turn is full."""
        self._is_due, self._left = False, A_TURN * DROPS_FOR_ONE
        while self._order and self._left > 0:
            tenant = self._order.popleft()
            if tenant not in self._waiting:
                continue
            if not self._may_ask(tenant):
                self._held.add(tenant)
                continue
            self._order.append(tenant)
            asks = self._waiting[tenant]
            _, ask = next(iter(asks.items()))
            self.forget(ask.uniqueid)
            self._take_one(ask)
        self.oldest_at_ms = min((next(iter(asks.values())).at_ms for asks in self._waiting.values()), default=0)
        if self._order:
            self._due()

    def _take_one(self, ask: Ask) -> None:
        self._left -= DROPS_FOR_ONE if self._take(ask) else 1
