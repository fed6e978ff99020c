"""Measure the audit: ``python -m tests.load.bench_audit [ENTRIES]``. Prints figures, judges none."""

import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from gateway.core.audit import audit
from gateway.core.journal import Entry, read_line, to_line

TOPUP, HELD, CHARGE, SECONDS = 10**12, 60_000, 41_000, 41
LIVE = 5000  # calls at a time


def journal() -> Iterator[Entry]:
    """Calls without end, LIVE at a time: reserve, answer, extend, settle, over one lot."""
    n = balance = held = number = 0

    def entry(kind: str, call: str, step: int | None, **more: int) -> Entry:
        nonlocal n, balance, held
        n += 1
        balance += more.get("credit", 0) + more.get("held", 0)
        held += more.get("held", 0)
        at_ms, lot = 1_800_000_000_000 + n, 1 if "lot" not in more and any(more.values()) else None
        note = "0  " if kind == "open" else ""
        return Entry(
            n, kind, f"{at_ms}-0", call, step, lot, balance=balance, held_after=held, at_ms=at_ms, note=note, **more
        )  # type: ignore[arg-type]

    yield entry("open", "", None)
    yield entry("topup", "payment-1", None, source=-TOPUP, credit=TOPUP)
    while True:
        calls = [f"pbx1/18000000{number + i}.{i}/5f1d0c9a" for i in range(LIVE)]
        number += LIVE
        for call in calls:
            yield entry("reserve", call, 0, credit=-HELD, held=HELD)
            yield entry("answer", call, 0)
        for call in calls:
            yield entry("extend", call, 1, held=-CHARGE, revenue=CHARGE)
        for call in calls:
            yield entry("settle", call, 2, held=CHARGE - HELD, credit=HELD - CHARGE, total=CHARGE)


def main(count: int) -> None:
    """Write so many entries, then prove them: from the archive's lines, and the proof alone."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "journal.jsonl"
        began = time.perf_counter()
        with file.open("w") as lines:
            lines.writelines(to_line(entry) + "\n" for entry in islice(journal(), count))
        print(f"write  {_rate(count, began)}, {file.stat().st_size / count:.0f} bytes an entry")
        began = time.perf_counter()
        with file.open("rb") as lines:
            verdict = audit(map(read_line, lines))
        print(f"audit  {_rate(count, began)}, from lines of the archive")
        assert verdict.findings == (), verdict.findings
        assert verdict.entries == count
    began = time.perf_counter()
    for _ in islice(journal(), count):
        pass
    made = time.perf_counter() - began
    began = time.perf_counter() + made
    audit(islice(journal(), count))
    print(f"proof  {_rate(count, began)}, without the reading")
    print(f"memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB at most")


def _rate(count: int, began: float) -> str:
    seconds = time.perf_counter() - began
    return f"{count:,} entries in {seconds:.1f} s, {count / seconds:,.0f} a second"


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
