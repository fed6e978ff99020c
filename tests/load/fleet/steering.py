"""The fleet, and the bare hook before it, as a benchmark starts, steers and ends them."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

from tests.lab.build import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

END_SECONDS: Final = 5


@dataclass(frozen=True)
class Tenants:
    """Who calls, in turns: ``name`` and four digits, from ``first`` on."""

    name: str
    count: int
    first: int = 0


class Told(dict[str, Any]):
    """What the fleet told: counts of all its time, and figures since the last ``take``; 0 for what it has none of."""

    def __missing__(self, _name: str) -> float:
        return 0


class Lines:
    """A child that takes a line and answers with one."""

    def __init__(self, *words: str) -> None:
        command = ["setpriv", "--pdeathsig", "KILL", sys.executable, "-m", *words]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=REPOSITORY)

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    def read(self) -> Told:
        """One line. Raises RuntimeError when it ended instead."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._process.args!r} ended with {self._process.wait()}")
        return Told(json.loads(line))

    def ask(self, **order: object) -> Told:
        """One order, and what it says when it is carried out."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return self.read()

    def close(self) -> None:
        """The end of its input ends it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Fleet(Lines):
    """So many switches. ``numbers``: a file of what is dialled, one number a line."""

    def __init__(self, switches: int = 8, numbers: Path | None = None) -> None:
        self.secret = secrets.token_hex(8)
        more = ("--numbers", str(numbers)) if numbers is not None else ()
        super().__init__("tests.load.fleet", "--switches", str(switches), "--secret", self.secret, *more)
        self.ports: list[int] = self.read()["ports"]

    def dial(self, rate: float, calls: int, talk_seconds: float, tenants: Tenants, most_waiting: int = 0) -> Told:
        """Ask so often at a steady rate; done when the last ask is written.

        ``most_waiting``: no further ask while so many wait for their verdict; 0 for no bound.
        """
        who, rest = (tenants.name, tenants.first, tenants.count), {"most_waiting": most_waiting}
        return self.ask(do="dial", rate=rate, calls=calls, talk_seconds=talk_seconds, tenants=who, **rest)

    def settle(self, left: int = 0, timeout_seconds: float = 10.0) -> bool:
        """Wait until all asks are answered and no more than so many calls are left; False: not in that time."""
        return bool(self.ask(do="settle", left=left, timeout_seconds=timeout_seconds)["is_settled"])

    def hang_up(self, rate: float, calls: int) -> Told:
        """The newest so many calls end, at this rate."""
        return self.ask(do="hang_up", rate=rate, calls=calls)

    def take(self) -> Told:
        """All counts, and the times since the last of these."""
        return self.ask(do="take")


class Hook(Lines):
    """The bare hook on all switches of a fleet."""

    def __init__(self, fleet: Fleet) -> None:
        super().__init__("tests.load.fleet.hook", fleet.secret, *map(str, fleet.ports))
        self.read()  # it listens
