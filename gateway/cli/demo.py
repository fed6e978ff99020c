"""``callgate demo``: the gate at work, with nothing to set up."""

from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.errand import run
from gateway.demo.run import run_demo


def demo(
    seconds: Annotated[float | None, typer.Option("--for", help="Stop after that many seconds.", min=1)] = None,
    seed: Annotated[int, typer.Option(help="The same seed makes the same calls.")] = 1,
    data_dir: Annotated[Path | None, typer.Option(help="Keep the demo's books here (default: a fresh folder).")] = None,
    metrics_port: Annotated[int, typer.Option(help="Port of /metrics; 0: one that is free.", min=0, max=65535)] = 0,
) -> None:
    """Watch the gate at work: a simulated PBX, a dozen tenants, an embedded ledger. Proves the books at the end."""
    raise typer.Exit(run(run_demo(seconds, seed, data_dir, metrics_port)))
