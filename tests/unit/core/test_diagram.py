"""The diagram in the docs is the table in the code."""

from pathlib import Path

import gateway.core
from gateway.core.diagram import diagram


def test_the_readme_shows_the_table_as_it_is() -> None:
    """`python -m gateway.core.diagram` prints what belongs there."""
    readme = Path(gateway.core.__file__).with_name("README.md").read_text()
    assert f"```mermaid\n{diagram()}\n```" in readme
