"""``callgate check`` and ``schema``: is the config right, and what may stand in it."""

import json
import sys
from dataclasses import asdict
from enum import StrEnum
from typing import Annotated
from urllib.parse import parse_qs, urlsplit

import typer

from gateway.cli.common import CONFIG, AsJson, ConfigDir
from gateway.settings import Settings, read
from gateway.settings.schema import schema_of


class Kind(StrEnum):
    """The kinds of files that have a schema."""

    GATEWAY = "gateway"
    TENANT = "tenant"
    PLAN = "plan"
    TARIFF = "tariff"


def check(config: ConfigDir = CONFIG, as_json: AsJson = False) -> None:
    """Check the config: each problem with its file, line, key and remedy. Exit code 1 when it cannot be used."""
    settings, problems = read(config)
    if as_json:
        found = [{**asdict(problem), "file": str(problem.file)} for problem in problems]
        print(json.dumps({"is_right": settings is not None, "problems": found}))
        raise typer.Exit(settings is None)
    errors = [problem for problem in problems if not problem.is_warning]
    for problem in problems:
        print(problem, file=sys.stderr if not problem.is_warning else sys.stdout)
    if settings is None:
        print(f"{_count(len(errors), 'problem')}.", file=sys.stderr)
        raise typer.Exit(1)
    tenants, switches = _count(len(settings.tenants), "tenant"), _count(len(settings.switches), "switch", "switches")
    print(f"The config is right: {tenants}, {switches}.")
    print(f"books: {_books(settings)}")


def _books(settings: Settings) -> str:
    """Where the money is. Of a URL, neither user nor password nor what else it may hide them in."""
    if settings.redis.is_embedded:
        return f"embedded, {settings.redis.data_dir}"
    url = urlsplit(settings.redis.url)
    database = "".join(f"?db={number}" for number in parse_qs(url.query).get("db", [])[:1])
    return f"{url.scheme}://{url.netloc.rpartition('@')[2]}{url.path}{database}"


def _count(number: int, one: str, several: str | None = None) -> str:
    return f"{number} {one if number == 1 else several or one + 's'}"


def schema(kind: Annotated[Kind, typer.Argument(help="tariff is the TOML beside a tariff's CSV.")]) -> None:
    """Print the JSON Schema of a file of the config, for editors."""
    print(json.dumps(schema_of(kind.value), indent=2, ensure_ascii=False))
