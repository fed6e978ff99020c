"""Commands to all processes of a machine: each is asked on its own control socket, and one answer is made of theirs."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlencode

from gateway.adapters.http.control import ControlError, ask_gateway
from gateway.settings import Seat

Facts = Mapping[str, Any]
_LISTS: Final = ("warnings", "changes", "needs_restart")


class Commands:
    """As a gateway that is alone answers them."""

    def __init__(self, seats: Sequence[Seat]) -> None:
        self._seats = seats

    async def reload(self) -> Facts:
        """All of them take the config as it is now, or say why not."""
        return await self._of_all("reload")

    async def diff(self) -> Facts:
        """What that would change."""
        return await self._of_all("diff")

    async def drain(self, switch: str, is_over: bool) -> Facts:
        """Of a switch, the process that has it; else all."""
        asked = [seat for seat in self._seats if switch in {"", *seat.share.switches}]
        if not asked:
            names = ", ".join(sorted(name for seat in self._seats for name in seat.share.switches))
            return {"problem": f"there is no switch {switch!a} in gateway.toml; it has: {names}"}
        words = f"drain?{urlencode({'switch': switch, 'end': int(is_over)})}"
        try:
            told = await asyncio.gather(*(ask_gateway(seat.control_socket, words) for seat in asked))
        except ControlError as error:
            return {"problem": str(error)}
        problems = [str(one["problem"]) for one in told if "problem" in one]
        return {"problem": problems[0]} if problems else {"kept": sorted(name for one in told for name in one["kept"])}

    async def _of_all(self, word: str) -> Facts:
        told = await asyncio.gather(*(_config_answer(seat, word) for seat in self._seats))
        return merged({seat.share.number: facts for seat, facts in zip(self._seats, told, strict=True)})


async def _config_answer(seat: Seat, word: str) -> Facts:
    try:
        return await ask_gateway(seat.control_socket, word)
    except ControlError as error:
        return {"is_taken": False, "problems": [str(error)], **{name: [] for name in _LISTS}}


def merged(told: Mapping[int, Facts]) -> dict[str, Any]:
    """One outcome of all; ``processes`` has each. A problem that not all have is told with its process."""
    every = list(told.values())
    common = [problem for problem in every[0]["problems"] if all(problem in facts["problems"] for facts in every)]
    own = [
        f"process {number}: {problem}"
        for number, facts in told.items()
        for problem in facts["problems"]
        if problem not in common
    ]
    return {
        "is_taken": all(facts["is_taken"] for facts in every),
        "problems": [*common, *own],
        **{name: _union(facts[name] for facts in every) for name in _LISTS},
        "processes": [
            {"process": number, "is_taken": facts["is_taken"], "changes": len(facts["changes"])}
            for number, facts in told.items()
        ],
    }


def _union(lists: Any) -> list[Any]:
    """All that is in any, once, in order."""
    found: list[Any] = []
    for items in lists:
        found += [item for item in items if item not in found]
    return found
