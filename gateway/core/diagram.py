"""The call's state diagram, drawn from the table itself: ``python -m gateway.core.diagram``, shown in README.md."""

from gateway.core.lifecycle import TABLE


def diagram() -> str:
    """Mermaid text: an arrow for each pair of states, with the events that lead from one to the other."""
    arrows: dict[tuple[str, str], list[str]] = {}
    for (state, event), (_, allowed) in TABLE.items():
        for target in allowed - {state}:
            arrows.setdefault((state, target), []).append(event.__name__)
    lines = [f"    {source} --> {target}: {', '.join(sorted(events))}" for (source, target), events in arrows.items()]
    return "\n".join(["stateDiagram-v2", "    [*] --> asked", *sorted(lines)])


if __name__ == "__main__":
    print(diagram())  # noqa: T201 - what it is for
