"""``callgate doctor``: everything that an operator gets wrong, each with its remedy."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from gateway import borrow
from gateway.adapters.redis.losses import Wanted, diagnose
from gateway.adapters.redis.survey import Survey, survey_all
from gateway.checkup import Key, Round, find_key, go_round, of_config
from gateway.cli.books import print_books
from gateway.cli.common import CONFIG, AsJson, ConfigDir, fail, load_settings
from gateway.cli.errand import run
from gateway.core.doctor.report import exit_code, in_order
from gateway.settings import Settings, read

_OFF = (
    "The doctor's user is on at {switches}. Switch it off now: on the PBX remove manager-callgate-doctor.conf and "
    'callgate-doctor-secret.conf, and run asterisk -rx "manager reload".'
)


def doctor(
    switch: Annotated[
        list[str] | None, typer.Option(help="Look at this switch alone; more than once for more.")
    ] = None,
    doctor_secret_file: Annotated[
        Path | None,
        typer.Option(
            help="The secret of the manager user callgate-doctor; else callgate-doctor-secret.conf in asterisk of the "
            "config folder, or in /etc/asterisk."
        ),
    ] = None,
    asterisk_etc: Annotated[
        Path | None, typer.Option(help="Asterisk's config folder, where it is on this machine and not found.")
    ] = None,
    books: Annotated[
        bool, typer.Option("--books", help="Tell what the books' server would lose, in which case.")
    ] = False,
    config: ConfigDir = CONFIG,
    as_json: AsJson = False,
) -> None:
    """Find what is wrong with config, books and PBX, and say what to do about it.

    Exit code 0 when all is well, 1 with warnings, 2 with errors. Nothing is changed; a test ask rings nobody.
    """
    if books:
        _look_at_books(config, as_json=as_json)
        return
    settings, problems = read(config)
    if settings is None:
        told = Round(tuple(of_config(problem) for problem in problems))
    else:
        unknown = sorted(set(switch or ()) - {each.name for each in settings.switches})
        if unknown:
            names = ", ".join(each.name for each in settings.switches) or "none"
            fail(f"There is no switch {unknown[0]!a}; the config has: {names}.")
        key = _key(doctor_secret_file, settings)
        told = run(go_round(settings, switch or (), key, asterisk_etc))
    _tell(told, as_json=as_json)


def _key(named: Path | None, settings: Settings) -> Key | None:
    try:
        return find_key(named, settings)
    except OSError as fault:
        fail(f"{named} cannot be read ({fault.strerror}); name the file that holds the doctor's secret.")
    except ValueError as fault:
        fail(f"{fault}")


def _tell(told: Round, *, as_json: bool) -> None:
    findings = in_order(told.findings)
    if as_json:
        print(json.dumps({"findings": [asdict(each) for each in findings], "doctors_on": told.doctors_on}))
    else:
        for finding in findings:
            print(finding)
        if not exit_code(findings):
            print("all is well")
        if told.doctors_on:
            print(_OFF.format(switches=", ".join(told.doctors_on)), file=sys.stderr)
    raise typer.Exit(exit_code(findings))


def _look_at_books(config: Path, *, as_json: bool) -> None:
    settings = load_settings(config)
    wanted = Wanted(settings.ledger.sync, settings.ledger.replicas, settings.redis.is_embedded)

    async def look() -> dict[str, Survey]:
        async with borrow.borrowed_server(settings) as url:
            return await survey_all(url)

    servers = run(look())
    found = {name: diagnose(server, wanted) for name, server in servers.items()}
    if as_json:
        facts = [
            {
                "server": asdict(servers[name]),
                "wanted": asdict(wanted),
                **asdict(diagnosis),
                "faults": [str(fault) for fault in diagnosis.faults],
            }
            for name, diagnosis in found.items()
        ]
        print(json.dumps(facts[0] if len(facts) == 1 else dict(zip(found, facts, strict=True))))
    else:
        for name, diagnosis in found.items():
            if len(found) > 1:
                print(name)
            print_books(servers[name], wanted, diagnosis)
    if any(diagnosis.faults for diagnosis in found.values()):
        raise typer.Exit(2)
