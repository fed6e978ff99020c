"""The mail that waits: a stream a tenant, and a key with an end for each mail that somebody is about."""

from collections.abc import Sequence
from typing import Any, Final

from gateway.adapters.redis import wire
from gateway.adapters.redis.server import Server
from gateway.ports import WaitingMail

_TO: Final = "to"


class MailBoxes(Server):
    """What ``gateway.ports.MailBox`` says."""

    async def take_mail(self, tenant: str, addresses: Sequence[str]) -> int:
        """Copy the outbox's new events, each once for each address, however many; how many mails wait now."""
        keys = (wire.account_keys(wire.checked_tenant(tenant))[3], _key(tenant, "mail"), _key(tenant, "mailed"))
        while True:
            waiting, taken = await self._function("mail_take", keys, *addresses)
            if not taken:
                return int(waiting)

    async def waiting_mail(self, tenant: str) -> Sequence[WaitingMail]:
        """All of it, the oldest first; the function that copies keeps it bounded."""
        return [_mail(entry) for entry in await self._told("XRANGE", _key(tenant, "mail"), "-", "+")]

    async def claim_mail(self, tenant: str, entry_id: str, ms: int) -> bool:
        """The look comes after the claim: who had it before may have sent it since it was read."""
        claim = await self._told("SET", _claim(tenant, entry_id), "1", "NX", "PX", ms)
        return bool(claim) and bool(await self._told("XRANGE", _key(tenant, "mail"), entry_id, entry_id))

    async def postpone_mail(self, tenant: str, entry_id: str, ms: int) -> None:
        """No NX: the claim is one's own."""
        await self._told("SET", _claim(tenant, entry_id), "1", "PX", ms)

    async def mail_done(self, tenant: str, entry_id: str) -> None:
        """The claim goes by itself: until then it keeps off who has read the mail before."""
        await self._told("XDEL", _key(tenant, "mail"), entry_id)


def _key(tenant: str, name: str) -> str:
    return f"cg:{{{wire.checked_tenant(tenant)}}}:{name}"


def _claim(tenant: str, entry_id: str) -> str:
    return _key(tenant, f"mail:{entry_id}")


def _mail(entry: Sequence[Any]) -> WaitingMail:
    event = wire.read_event(entry)
    return WaitingMail(event.entry_id, event.facts.pop(_TO), event)
