"""Where the instructions of a call go, by step, file and function; and the bytes of a live one, by line.

Run as ``python -m tests.guard.profile [N]``; N is how many of each are shown, those of most first.
"""

import sys
from collections import Counter

from .clock import stop_time

CLOCK = stop_time()

from .calls import Phones  # noqa: E402 - the clock stands before the gateway is there
from .gate import BY_MINUTE  # noqa: E402
from .keeping import sites  # noqa: E402
from .opcodes import Count, is_counted, is_own  # noqa: E402
from .scenes import STEPS, TOGETHER, many, opened, refused, steps_of, summed  # noqa: E402
from .servers import POOR  # noqa: E402

MOST = 25


def main(most: int) -> None:
    """Print it."""
    with opened(CLOCK) as gate:
        alone = steps_of(gate, [Phones(100)])
        by_minute = steps_of(gate, [Phones(101, BY_MINUTE)])
        steps_of(gate, many(1_000))
        together = steps_of(gate, many(2_000))
        denied = refused(gate, Phones(200, POOR))
    _print("One call that is alone, billed by the second", alone, 1, most)
    _print("One call that is alone, billed by the minute", by_minute, 1, most)
    _print(f"A call among {TOGETHER} in the same turns of the loop", together, TOGETHER, most)
    _print("An ask that is refused", {"refusal": denied}, 1, most)
    print(f"\nA live call's memory by line{'bytes':>40}{'objects':>9}")
    for where, taken, objects in sites(CLOCK, most):
        print(f"  {where[:55]:56}{taken:>9,.0f}{objects:>9.1f}")


def _print(title: str, counts: dict[str, Count], calls: int, most: int) -> None:
    names = [name for name in (*STEPS, "refusal") if name in counts]
    print(f"\n{title}\n{'':58}{'in all':>9}" + "".join(f"{name:>9}" for name in names))
    _row("callgate", [counts[name].own for name in names], calls)
    _row("libraries", [counts[name].libraries for name in names], calls)
    total = summed(list(counts.values()))
    for file, _ in total.files().most_common(most):
        _row(f"  {file}", [counts[name].files()[file] for name in names], calls)
    functions = Counter({key: number for key, number in total.by_function.items() if is_counted(key[0])})
    print("  -- functions")
    for (file, function), number in functions.most_common(most):
        where = file.rpartition("/")[2] if is_own(file) else file.partition("/")[0]
        _row(f"  {where}: {function}", [counts[name].by_function[file, function] for name in names], calls, number)


def _row(name: str, numbers: list[int], calls: int, total: int | None = None) -> None:
    cells = [sum(numbers) if total is None else total, *numbers]
    print(f"{name[:57]:58}" + "".join(f"{cell / calls:>9,.0f}" for cell in cells))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else MOST)
