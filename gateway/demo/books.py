"""The proof at the end of a demo: three witnesses of the same money and time must agree.

The ledger's own totals, the records of the closed calls, and what the simulated PBX saw of each call.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace

from gateway.core.cdr import CallRecord
from gateway.demo.channels import Call, End
from gateway.ports import Balance, CDRSink, StoredCall

MOST_SECONDS_APART = 1


@dataclass(frozen=True, slots=True)
class Opening:
    """An account when the demo began. What a call taken over from before had been charged counts as not yet."""

    balance_micros: int
    credits_micros: int
    charges_micros: int
    adjustments_micros: int
    expired_micros: int = 0


def opening(balance: Balance, live: Iterable[StoredCall]) -> Opening:
    """The account as it would be had its live calls not been charged: their records will say it all."""
    charged = sum(call.charged_micros for call in live)
    return Opening(
        balance_micros=balance.balance_micros + charged,
        credits_micros=balance.credits_micros,
        charges_micros=balance.charges_micros - charged,
        adjustments_micros=balance.adjustments_micros,
        expired_micros=balance.expired_micros,
    )


@dataclass(frozen=True, slots=True)
class TenantBooks:
    """One line of the summary. Amounts are micro-units; ``faults`` is empty where the books hold."""

    tenant: str
    currency: str
    opening_micros: int
    topups_micros: int
    charges_micros: int
    adjustments_micros: int
    balance_micros: int
    held_micros: int
    calls: int
    metered: int  # answered, with a cap
    cut: int
    refused: int
    faults: tuple[str, ...]
    expired_micros: int = 0

    @property
    def adds_up(self) -> bool:
        """Opening + top-ups - charges ± adjustments - what expired = balance."""
        moved_micros = self.topups_micros - self.charges_micros + self.adjustments_micros - self.expired_micros
        return self.opening_micros + moved_micros == self.balance_micros


class Witness:
    """Writes down what the PBX and the gateway say of calls. The gateway's CDR sink, in front of another."""

    def __init__(self, also: CDRSink | None = None) -> None:
        self._also = also
        self.records: dict[str, CallRecord] = {}  # the last one of a call counts: it replaces an estimate
        self.ends: dict[str, Counter[End]] = defaultdict(Counter)
        self.reasons: Counter[str] = Counter()
        self.paid_micros: Counter[str] = Counter()
        self._talked: dict[str, dict[str, int]] = defaultdict(dict)  # tenant, uniqueid: ms
        self.lowest_micros: dict[str, int] = {}

    def write(self, record: CallRecord) -> None:
        """Keep a closed call's record."""
        self.records[record.call_id] = record
        if self._also:
            self._also.write(record)

    def saw(self, call: Call) -> None:
        """The PBX's side of a call that ended."""
        outcome = call.outcome.result()
        self.ends[call.tenant][outcome.end] += 1
        if outcome.end is End.DENIED:
            self.reasons[outcome.reason] += 1
        if call.cap_ms and call.answered_at:
            self._talked[call.tenant][call.caller.uniqueid] = outcome.talked_ms

    def looked(self, balances: Mapping[str, Balance]) -> None:
        """A look at the accounts: what is available may never be less than nothing."""
        for tenant, balance in balances.items():
            lowest = self.lowest_micros.get(tenant, balance.available_micros)
            self.lowest_micros[tenant] = min(lowest, balance.available_micros)

    def audit(
        self, openings: Mapping[str, Opening], closings: Mapping[str, Balance], exhausted: Collection[str]
    ) -> list[TenantBooks]:
        """Hold the witnesses against each other, tenant by tenant. ``exhausted``: who was told that nothing is left."""
        records: dict[str, list[CallRecord]] = defaultdict(list)
        for record in self.records.values():
            records[record.tenant].append(record)
        return [
            self._audit(openings[name], closings[name], records[name], was_exhausted=name in exhausted)
            for name in closings
        ]

    def _audit(self, begun: Opening, end: Balance, records: list[CallRecord], *, was_exhausted: bool) -> TenantBooks:
        tenant = end.tenant
        ends = self.ends[tenant]
        books = TenantBooks(
            tenant=tenant,
            currency=end.currency,
            opening_micros=begun.balance_micros,
            topups_micros=self.paid_micros[tenant],
            charges_micros=end.charges_micros - begun.charges_micros,
            adjustments_micros=end.adjustments_micros - begun.adjustments_micros,
            balance_micros=end.balance_micros,
            held_micros=end.held_micros,
            calls=ends.total(),
            metered=len(self._talked[tenant]),
            cut=ends[End.CUT],
            refused=ends[End.DENIED],
            faults=(),
            expired_micros=end.expired_micros - begun.expired_micros,
        )
        facts = (
            (books.adds_up, "the sum is not the balance"),
            (end.credits_micros - begun.credits_micros == books.topups_micros, "other top-ups were booked than paid"),
            (
                sum(record.charged_micros for record in records) == books.charges_micros - books.adjustments_micros,
                "the charges of the calls do not add up",
            ),
            (end.held_micros == 0, "money is still held"),
            (end.live_calls == 0, f"{end.live_calls} calls are still open"),
            (self.lowest_micros.get(tenant, 0) >= 0, "more was spent than there was"),
            (books.cut == 0 or was_exhausted, "calls were cut though there was money"),
        )
        wrong = [sentence for is_right, sentence in facts if not is_right]
        return replace(books, faults=(*wrong, *self._seconds_apart(tenant, records)))

    def _seconds_apart(self, tenant: str, records: list[CallRecord]) -> list[str]:
        """Each metered call that the PBX saw talk has one record, and their seconds agree."""
        billed: dict[str, list[int]] = defaultdict(list)
        for record in records:
            if record.answered_at_ms:
                billed[record.call_id.split("/")[1]].append(record.billsec)
        faults = []
        for uniqueid, talked_ms in self._talked[tenant].items():
            match billed.get(uniqueid, []):
                case []:
                    faults.append(f"call {uniqueid} talked {talked_ms} ms and has no record")
                case [seconds] if abs(seconds - talked_ms / 1000) > MOST_SECONDS_APART:
                    faults.append(f"call {uniqueid} talked {talked_ms} ms and is billed {seconds} s")
                case [_]:
                    pass
                case many:
                    faults.append(f"call {uniqueid} is billed {len(many)} times")
        return faults
