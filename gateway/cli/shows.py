"""``callgate show``: the values that are in force, and where each comes from."""

import json
from pathlib import Path

import typer
from rich.table import Table

from gateway.cli.common import CONFIG, AsJson, ConfigDir, fail, load_settings, tenant_named
from gateway.cli.tables import show
from gateway.settings.resolve import InForce, Value

shows = typer.Typer(
    help="Show every value that is in force, and where it comes from.", no_args_is_help=True, add_completion=False
)


@shows.command("tenant")
def show_tenant(name: str, config: ConfigDir = CONFIG, as_json: AsJson = False) -> None:
    """Show a tenant's values: its own, else its plan's, else the default."""
    settings = load_settings(config)
    _print(InForce(settings).tenant(tenant_named(settings, name).tenant_id), as_json)


@shows.command("plan")
def show_plan(name: str, config: ConfigDir = CONFIG, as_json: AsJson = False) -> None:
    """Show a plan's values, by its file's name; .toml may be left out."""
    settings = load_settings(config)
    file = name if name in settings.files.plans else f"{name}.toml"
    if file not in settings.files.plans:
        known = ", ".join(sorted(Path(plan).stem for plan in settings.files.plans)) or "none"
        fail(f"There is no plan {name!r}; the config has: {known}.")
    _print(InForce(settings).plan(file), as_json)


@shows.command("gateway")
def show_gateway(config: ConfigDir = CONFIG, as_json: AsJson = False) -> None:
    """Show the values of gateway.toml."""
    _print(InForce(load_settings(config)).gateway(), as_json)


def _print(values: list[Value], as_json: bool) -> None:
    if as_json:
        print(json.dumps([{"key": each.key, "value": each.value, "source": each.source} for each in values]))
        return
    table = Table("key", "value", "from")
    for each in values:
        table.add_row(each.key, each.text, each.source)
    show(table)
