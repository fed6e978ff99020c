"""State diagrams as pictures that need no script: Mermaid's text in, SVG and a table out.

Each state stands below the one before it on the longest way from the start. The table says what leads from one to the
other, and is all that a screen reader needs.
"""

import re
from dataclasses import dataclass
from html import escape
from typing import Final

_BLOCK: Final = re.compile(r"^```mermaid\nstateDiagram-v2\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_ARROW: Final = re.compile(r"^\s*(\S+) --> (\w+)(?:: (.*))?$")
_START: Final = "[*]"
_WIDTH, _HEIGHT, _ACROSS, _DOWN, _MARGIN = 120, 34, 190, 78, 70


@dataclass(frozen=True)
class Arrow:
    """From one state to the next, and what leads there."""

    source: str
    target: str
    by: str


def with_diagrams_drawn(markdown: str) -> str:
    """A page with each of its state diagrams as a picture and a table."""
    return _BLOCK.sub(lambda found: _shown(arrows_of(found[1])), markdown)


def arrows_of(text: str) -> list[Arrow]:
    """The arrows of a diagram, in its order. Raises ValueError where a line is none."""
    arrows = []
    for line in filter(str.strip, text.splitlines()):
        found = _ARROW.match(line)
        if found is None:
            raise ValueError(f"this line of a state diagram is no arrow: {line!r}")
        arrows.append(Arrow(found[1], found[2], found[3] or ""))
    return arrows


def _shown(arrows: list[Arrow]) -> str:
    rows = [f"| {_state(arrow.source)} | `{arrow.target}` | {arrow.by} |" for arrow in arrows]
    return "\n".join([svg(arrows), "", "| from | to | by |", "| --- | --- | --- |", *rows])


def _state(name: str) -> str:
    return "(start)" if name == _START else f"`{name}`"


def ranks(arrows: list[Arrow]) -> dict[str, int]:
    """How far each state is from the start on the longest way that meets none twice."""
    after: dict[str, list[str]] = {}
    for arrow in arrows:
        after.setdefault(arrow.source, []).append(arrow.target)
    found: dict[str, int] = {}

    def walk(state: str, way: tuple[str, ...]) -> None:
        if found.get(state, -1) < len(way):
            found[state] = len(way)
        for each in after.get(state, ()):
            if each != state and each not in way:
                walk(each, (*way, state))

    walk(_START, ())
    return found


def svg(arrows: list[Arrow]) -> str:
    """The picture, on one line, since a blank one would end it in Markdown."""
    rank = ranks(arrows)
    rows: dict[int, list[str]] = {}
    for state, number in sorted(rank.items(), key=lambda each: each[1]):
        rows.setdefault(number, []).append(state)
    width = max(len(row) for row in rows.values()) * _ACROSS + 2 * _MARGIN
    place = {
        state: (width / 2 + (index - (len(row) - 1) / 2) * _ACROSS, 20.0 + number * _DOWN)
        for number, row in rows.items()
        for index, state in enumerate(row)
    }
    height = 40 + max(rows) * _DOWN
    lines = [_curve(place, arrow, index) for index, arrow in enumerate(arrows) if arrow.source != arrow.target]
    states = [_box(state, *at) for state, at in place.items()]
    return (
        f'<svg class="states" viewBox="0 0 {width} {height}" role="img" aria-label="States; the table below says the '
        f'same" style="max-width:{width}px"><defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" '
        'markerWidth="7" markerHeight="7" orient="auto"><path d="M0 0 8 4 0 8z" fill="currentColor"/></marker></defs>'
        f"{''.join(lines)}{''.join(states)}</svg>"
    )


def _box(state: str, x: float, y: float) -> str:
    if state == _START:
        return f'<circle cx="{x}" cy="{y}" r="6" fill="currentColor"/>'
    return (
        f'<rect x="{x - _WIDTH / 2}" y="{y - _HEIGHT / 2}" width="{_WIDTH}" height="{_HEIGHT}" rx="8"/>'
        f'<text x="{x}" y="{y + 5}" text-anchor="middle">{escape(state)}</text>'
    )


def _curve(place: dict[str, tuple[float, float]], arrow: Arrow, index: int) -> str:
    """Straight to a next row; else around at a side, each a little further out, so that none lies on another."""
    (x1, y1), (x2, y2) = place[arrow.source], place[arrow.target]
    if 0 < y2 - y1 <= _DOWN:
        return _path(f"M{x1} {y1 + _HEIGHT / 2} L{x2} {y2 - _HEIGHT / 2}")
    side = 1 if y2 > y1 else -1
    out = side * (_WIDTH / 2)
    bow = side * (24 + 8 * (index % 5) + 0.06 * abs(y2 - y1))
    return _path(f"M{x1 + out} {y1} C{x1 + out + bow} {y1} {x2 + out + bow} {y2} {x2 + out} {y2}")


def _path(way: str) -> str:
    return f'<path d="{way}" fill="none" stroke="currentColor" marker-end="url(#tip)"/>'
