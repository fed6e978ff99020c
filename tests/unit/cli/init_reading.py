"""How a written file differs from what it was made of."""

from difflib import SequenceMatcher
from itertools import zip_longest
from pathlib import Path


def changed_lines(old: Path, new: Path) -> list[tuple[str, str]]:
    """Each line that differs with what stands in its place; "" where there is none."""
    before, after = old.read_text().splitlines(), new.read_text().splitlines()
    return [
        pair
        for kind, i, j, k, m in SequenceMatcher(a=before, b=after, autojunk=False).get_opcodes()
        if kind != "equal"
        for pair in zip_longest(before[i:j], after[k:m], fillvalue="")
    ]
