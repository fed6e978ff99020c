"""``callgate doctor``: what the server of the books would lose, and in which case."""

import json
from dataclasses import asdict

import typer
from rich.table import Table

from gateway import borrow
from gateway.adapters.redis.losses import Diagnosis, Wanted, diagnose
from gateway.adapters.redis.survey import Survey, survey_all
from gateway.cli.common import CONFIG, AsJson, ConfigDir, load_settings, run
from gateway.cli.tables import show


def doctor(config: ConfigDir = CONFIG, as_json: AsJson = False) -> None:
    """Tell what this Redis would lose, and in which case; of a cluster, each primary.

    Exit code 1 when what is booked can be lost.
    """
    settings = load_settings(config)
    wanted = Wanted(settings.ledger.sync, settings.ledger.replicas, settings.redis.is_embedded)

    async def look() -> dict[str, Survey]:
        async with borrow.borrowed_server(settings) as url:
            return await survey_all(url)

    servers = run(look())
    found = {name: diagnose(server, wanted) for name, server in servers.items()}
    if as_json:
        facts = [
            {"server": asdict(servers[name]), "wanted": asdict(wanted), **asdict(diagnosis)}
            for name, diagnosis in found.items()
        ]
        print(json.dumps(facts[0] if len(facts) == 1 else dict(zip(found, facts, strict=True))))
    else:
        for name, diagnosis in found.items():
            if len(found) > 1:
                print(name)
            _print(servers[name], wanted, diagnosis)
    if any(diagnosis.faults for diagnosis in found.values()):
        raise typer.Exit(1)


def _print(server: Survey, wanted: Wanted, diagnosis: Diagnosis) -> None:
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
