"""On which line of a TOML file a key stands."""

import pytest

from gateway.settings.lines import KeyLines, KeyPath

TEXT = '''\
top = 1
a.b = 2
text = """
top = 3
[fake]
"""
list = [
  "x = 1",
]
[section]  # comment
key = 1
"quoted" = 2
[[item]]
key = 1
[[item]]
key = 2
[section.sub]
deep = 1
'''


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("top",), 1),
        (("a", "b"), 2),
        (("list", 0), 7),
        (("section",), 10),
        (("section", "key"), 11),
        (("section", "quoted"), 12),
        (("section", "missing"), 10),
        (("item", 0, "key"), 14),
        (("item", 1), 15),
        (("item", 1, "key"), 16),
        (("section", "sub", "deep"), 18),
        (("fake",), None),
        (("missing",), None),
        ((), None),
    ],
)
def test_lines(path: KeyPath, line: int | None) -> None:
    """A key has its own line, a missing one that of its section, and what looks like a key in a string has none."""
    assert KeyLines(TEXT).find(path) == line
