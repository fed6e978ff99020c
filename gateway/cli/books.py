"""The books' server as tables: what it is, and what it would lose, in which case."""

from rich.table import Table

from gateway.adapters.redis.losses import Diagnosis, Wanted
from gateway.adapters.redis.survey import Survey
from gateway.cli.tables import show


def print_books(server: Survey, wanted: Wanted, diagnosis: Diagnosis) -> None:
    """As tables: what it is, what it would lose, what is to be mended."""
    facts = Table("what", "is")
    for name, value in _facts(server, wanted).items():
        facts.add_row(name, value)
    show(facts)
    losses = Table("case", "lost of top-ups and settlements", "lost of holds and extensions")
    for loss in diagnosis.losses:
        losses.add_row(loss.case, f"{loss.booked}{' (must not be)' if loss.must_not else ''}", loss.under_way)
    show(losses)
    for note in diagnosis.notes:
        print(f"note: {note}")
    for fault in diagnosis.faults:
        print(f"fault: {fault}")
    if not diagnosis.faults:
        print("No fault was found.")


def _facts(server: Survey, wanted: Wanted) -> dict[str, str]:
    where = "embedded" if wanted.is_embedded else "by its URL"
    early = "yes, but it answers before the disk has it" if server.is_waitaof_early else "yes"
    if wanted.is_embedded and server.has_waitaof:
        early = "yes, and callgate syncs the files itself"
    return {
        "server": f"{server.name} {server.version}, {where}, {server.role or 'role unknown'}",
        "cluster": _yes(server.is_cluster),
        "functions": _yes(server.has_functions),
        "append-only file": _yes(server.has_aof),
        "appendfsync": server.appendfsync or "unknown",
        "snapshots (save)": "unknown" if server.save is None else server.save or "none",
        "WAITAOF": early if server.has_waitaof else "no",
        "replicas": f"{'unknown' if server.replicas is None else server.replicas}, {wanted.replicas} asked for",
        "maxmemory": f"{'unknown' if server.maxmemory_bytes is None else server.maxmemory_bytes or 'none'}, "
        f"{server.maxmemory_policy or 'policy unknown'}",
        "clock": f"{server.clock_ahead_ms:+d} ms to this machine's",
    }


def _yes(truth: bool | None) -> str:
    return {True: "yes", False: "no", None: "unknown"}[truth]
