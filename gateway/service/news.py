"""News of a tenant's money, told to those of its calls that live."""

import asyncio

from gateway.core.events import CreditShort, ToppedUp
from gateway.ports import CreditRanShort, FundsCame, Switch
from gateway.service.calls import Calls

# News that a tenant's calls ran short are told to its others so often at the most.
SHORT_SECONDS = 0.1


class News:
    """What the calls of one switch are told."""

    def __init__(self, calls: Calls, switch: Switch) -> None:
        self._calls = calls
        self._switch = switch
        self._short: dict[str, list[CreditRanShort]] = {}  # heard, and not told yet

    def tell(self, news: FundsCame | CreditRanShort) -> None:
        """A tenant (with an empty name: each of them) has more to spend, or one of its calls ran short."""
        if isinstance(news, CreditRanShort):
            self._gather(news)
            return
        event = ToppedUp(self._switch.now_ms())
        for session in self._calls.of_tenant(news.tenant) if news.tenant else self._calls:
            if session.call.is_live:
                session.tell(event)

    def _gather(self, news: CreditRanShort) -> None:
        """Hear one of the many: each refused dial of a tenant without credit sends one, and each walks its calls."""
        if not self._calls.has_any(news.tenant):
            return
        gathered = self._short.setdefault(news.tenant, [])
        gathered.append(news)
        if len(gathered) == 1:
            asyncio.get_running_loop().call_later(SHORT_SECONDS, self._tell_short, news.tenant)

    def _tell_short(self, tenant: str) -> None:
        gathered = self._short.pop(tenant)
        least = min(gathered, key=lambda news: news.share_micros)
        event = CreditShort(self._switch.now_ms(), least.share_micros, least.ends_at_ms)
        ran_short = {news.call_id for news in gathered}
        for session in self._calls.of_tenant(tenant):
            if session.call.is_live and session.call_id not in ran_short:
                session.tell(event)
