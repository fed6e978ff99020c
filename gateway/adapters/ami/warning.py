"""The caller's warning: a word on the caller's channel, and the digit D into the bridge.

There the digit is a feature of the caller's channel alone (features.conf): it runs ``callgate-warn`` of the shipped
dialplan on it and goes no further. A channel that was not made ready is left alone: it would pass the digit on to the
far end. Seen on Asterisk 22.10: PERIODIC_HOOK is refused to a manager, and whispers to both sides; Redirect tears
the call down.
"""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from gateway.adapters.ami.actions import Fields, Reply

VARIABLE = "CALLGATE_WARN"
READY, NOW = "ready", "now"  # what the variable holds; the second with the sound, until the dialplan has taken it
TAKEN_WITHIN_SECONDS = 1.0  # the digit is some 100 ms long
_log = structlog.get_logger("callgate.ami")


class Warner:
    """Warns callers of one switch; tells once of what the switch lacks."""

    def __init__(
        self, switch: str, ask: Callable[[Fields], Awaitable[Reply]], is_done: Callable[[Reply], bool]
    ) -> None:
        self._switch = switch
        self._ask = ask
        self._is_done = is_done
        self._told: set[str] = set()

    async def warn(self, channel: tuple[str, str], sound: str) -> None:
        """Have it heard. A channel that is gone needs no warning. Raises SwitchUnavailable."""
        state = await self._state(channel)
        if state == "":
            remedy = "set CALLGATE_WARNING = yes in callgate-local.conf, or [warning] seconds = 0 for the tenant"
            self._tell_once("warning.not_ready", remedy)
        if state != READY:
            return
        await self._do(("Action", "Setvar"), channel, ("Variable", VARIABLE), ("Value", f"{NOW}:{sound}"))
        await self._do(("Action", "PlayDTMF"), channel, ("Digit", "D"), ("Receive", "true"))
        await asyncio.sleep(TAKEN_WITHIN_SECONDS)
        if ((await self._state(channel)) or "").startswith(NOW):
            self._tell_once("warning.not_heard", "add the line callgate-warning to [applicationmap] in features.conf")

    async def _state(self, channel: tuple[str, str]) -> str | None:
        """What the variable holds; None: there is no such channel."""
        reply = await self._ask((("Action", "Getvar"), channel, ("Variable", VARIABLE)))
        return reply.headers.get("Value", "") if self._is_done(reply) else None

    async def _do(self, *action: tuple[str, str]) -> None:
        self._is_done(await self._ask(action))

    def _tell_once(self, what: str, remedy: str) -> None:
        if what not in self._told:
            self._told.add(what)
            _log.warning(what, switch=self._switch, remedy=remedy)
