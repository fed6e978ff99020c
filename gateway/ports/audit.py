"""The audit of all books as somebody else does it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Misfit:
    """What does not fit in a tenant's books: the first of it in words, the call that it is of, how much there is."""

    problem: str
    call: str
    count: int


@dataclass(frozen=True, slots=True)
class Audited:
    """An audit that ended at that Unix second. ``misfits`` are by tenant; none: all books hold."""

    ended_at: float
    tenants: int
    entries: int
    misfits: Mapping[str, Misfit]

    @property
    def findings(self) -> int:
        """How much does not fit, in all."""
        return sum(misfit.count for misfit in self.misfits.values())


class NotAuditedError(Exception):
    """It could not be run, or did not end; the message says why."""


class BooksAudit(Protocol):
    """Proves all books, beside the calls that go on."""

    def last(self, after: float) -> Audited | None:
        """The last one, whoever did it, if it ended after that Unix second; else None. It looks at a file."""
        ...

    async def run(self) -> Audited:
        """Prove them now. Raises NotAuditedError."""
        ...


class AuditWatch(Protocol):
    """Who tells Prometheus of it."""

    def audited(self, findings: int, ended_at: float) -> None:
        """What the last audit found, and when it ended, in Unix seconds; 0: not done here."""
        ...

    def fault(self, where: str) -> None:
        """Something went wrong that a person should look at."""
        ...
