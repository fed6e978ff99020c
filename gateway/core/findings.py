"""What an audit is given beside the journal, and what it finds."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """What does not fit: an entry of the journal, or, with n = 0, the account as it is stored."""

    n: int
    type: str
    call: str
    what: str
    expected: str
    found: str

    def __str__(self) -> str:
        """One sentence."""
        whose = f" of {self.call}" if self.call else ""
        where = f"entry {self.n} ({self.type}{whose})" if self.n else f"the account{whose}"
        return f"{where}: {self.what} should be {self.expected}, found {self.found}"


class MisfitError(Exception):
    """The first entry that does not fit."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(str(finding))
        self.finding = finding


@dataclass(frozen=True, slots=True)
class Books:
    """The account as the ledger stores it, right after its entry ``entries``. Money is micro-units.

    ``moving`` are calls that may have moved between the reading of the account and of themselves: not compared.
    ``owed`` (drawn beyond all lots and charged), ``lots`` (free and held of each that has money) and ``pools`` (seconds
    taken, of each where there are) are compared where they are known.
    """

    entries: int
    balance: int
    held: int
    credits: int
    charges: int
    adjustments: int
    expired: int
    held_by_call: Mapping[str, int]
    moving: frozenset[str] = frozenset()
    owed: int | None = None
    lots: Mapping[int, tuple[int, int]] | None = None
    pools: Mapping[str, int] | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome of an audit: clean where there are no findings. Without entries ``first`` and ``last`` are 0."""

    first: int
    last: int
    balance: int
    held: int
    findings: tuple[Finding, ...]

    @property
    def entries(self) -> int:
        """How many entries were proven."""
        return self.last - self.first + 1 if self.last else 0
