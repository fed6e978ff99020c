"""The tables of the API's README are those of the code."""

from pathlib import Path

from gateway.adapters.http import api
from gateway.adapters.http.api.operations import OPERATIONS, TENANT
from gateway.adapters.http.api.problems import KINDS

README = Path(api.__file__).with_name("README.md")


def table(*rows: tuple[str, ...]) -> str:
    """A table of Markdown; the first row is its head."""
    head, *rest = rows
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rest))


def operations() -> str:
    """What there is."""
    rows = [
        (f"`{one.method} {one.path.replace(TENANT, 'T')}`", f"`{one.role}`", one.summary.replace("|", "\\|"))
        for one in OPERATIONS
    ]
    return table(("operation", "role", ""), *rows)


def problems() -> str:
    """What can go wrong."""
    rows = [(f"`{code}`", str(kind.status), kind.title) for code, kind in KINDS.items()]
    return table(("code", "status", ""), *rows)


def test_its_tables_are_current() -> None:
    """A route or a code that is not in it has no reader."""
    text = README.read_text("utf-8")
    assert operations() in text, operations()
    assert problems() in text, problems()
