"""Tables of Markdown."""

from collections.abc import Iterable, Sequence


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; a bar within a cell is escaped, a line break becomes a space."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(_cell(cell) for cell in line)} |" for line in lines) + "\n"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def page(title: str, about: str, *parts: str) -> str:
    """A page: its title, a sentence or two, then its parts."""
    return "\n\n".join([f"# {title}", about, *(part.strip() for part in parts)]) + "\n"
