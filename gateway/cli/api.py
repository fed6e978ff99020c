"""What only a running gateway can do: asked by its HTTP API. And the tokens that the API takes."""

import json
import os
import secrets
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import quote

import typer

from gateway.cli.common import CONFIG, AsJson, ConfigDir, fail, load_settings
from gateway.cli.errand import run
from gateway.core.access import TOKEN_BYTES, TOKEN_PREFIX, Role, hash_of
from gateway.settings import Settings, is_name

TOKEN_VARIABLE: Final = "CALLGATE_TOKEN"  # noqa: S105 - where it is, and none itself
TIMEOUT_SECONDS: Final = 20.0
CALL_ID_PARTS: Final = 3
_EVERYWHERE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - what it listens on is not what one asks

ApiUrl = Annotated[
    str | None,
    typer.Option("--url", envvar="CALLGATE_URL", help="The API of the gateway; else the one in the config's [api]."),
]

tokens = typer.Typer(help="Tokens for the HTTP API.", no_args_is_help=True, add_completion=False)


def cut(
    call: Annotated[str, typer.Argument(help="As `callgate calls` shows it: switch/uniqueid/nonce.")],
    url: ApiUrl = None,
    config: ConfigDir = CONFIG,
    as_json: AsJson = False,
) -> None:
    """End a call now; it is charged up to its end, as usual. Asks the gateway that runs it (CALLGATE_TOKEN)."""
    if call.count("/") != CALL_ID_PARTS - 1:
        fail(f"{call!a} is no call; write it as `callgate calls` shows it: switch/uniqueid/nonce.")
    told = asked("POST", f"/v1/calls/{call}/cut", url, config, switch=call.partition("/")[0])
    print(json.dumps(told) if as_json else f"{told['tenant']}: {call} was told to end")


def asked(method: str, path: str, url: str | None, config: Path, switch: str) -> dict[str, Any]:
    """Ask the API of the running gateway that has a switch. What it refuses is one sentence, and exit code 1."""
    token = os.environ.get(TOKEN_VARIABLE, "").strip()
    where = (url or _url_of(load_settings(config), switch)).rstrip("/")
    if not token:
        fail(f"This asks the running gateway at {where}: put a token that may operate into {TOKEN_VARIABLE}.")
    status, told = run(_ask(method, where, path, token))
    if not isinstance(told, dict) or status != HTTPStatus.OK:
        detail = told.get("detail") if isinstance(told, dict) else None
        fail(str(detail or f"{where} answered {status}, and is not the API of a callgate."))
    return told


async def _ask(method: str, where: str, path: str, token: str) -> tuple[int, Any]:
    """Status and body; 0 and a problem where there is no answer."""
    import aiohttp  # noqa: PLC0415 - only this command pays for it

    timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
    headers = {"Authorization": f"Bearer {token}"}
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, headers=headers) as session,
            # A redirect would carry the token elsewhere.
            session.request(method, where + quote(path), allow_redirects=False) as response,
        ):
            return response.status, await response.json(content_type=None)
    except (aiohttp.ClientError, OSError, ValueError) as error:
        why = str(error) or "no answer in time"
        return 0, {"detail": f"The API at {where} cannot be asked ({why}); does the gateway run there?"}


def _url_of(settings: Settings, switch: str) -> str:
    api = settings.api
    if not api.is_on:
        fail(
            "Only the running gateway can do this, and it is asked by its API, which is off: name a tokens_file in "
            "[api] of gateway.toml (`callgate token make` says what belongs into it), or give --url."
        )
    host = _EVERYWHERE.get(api.host, api.host)
    return (
        f"{'https' if api.tls_cert else 'http'}://{f'[{host}]' if ':' in host else host}:{_port_of(settings, switch)}"
    )


def _port_of(settings: Settings, switch: str) -> int:
    """Of several processes on this machine each has its own, and switches of its own."""
    from gateway.adapters.http.control import ControlError, ask_gateway  # noqa: PLC0415 - only this command pays for it

    try:
        told = run(ask_gateway(settings.control_socket, "processes"))
    except ControlError:
        return settings.api.port
    return next((int(one["api_port"]) for one in told["processes"] if switch in one["switches"]), settings.api.port)


@tokens.callback()
def about_tokens() -> None:
    """Tokens for the HTTP API."""


@tokens.command("make")
def make_token(
    name: Annotated[str, typer.Argument(help="Whose it is: it stands in the audit log.")],
    roles: Annotated[list[Role], typer.Option("--role", help="What it may do; may stand several times.")],
    tenants: Annotated[
        list[str] | None, typer.Option("--tenant", help="Whom it sees; may stand several times. Else all tenants.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make a token: it is shown once, and its hash is what belongs into the tokens' file."""
    for word in (name, *(tenants or ())):
        if not is_name(word):
            fail(f"{word!a} is no name; use up to 64 letters, digits, dots, dashes and underscores.")
    token = TOKEN_PREFIX + secrets.token_urlsafe(TOKEN_BYTES)
    facts: dict[str, Any] = {"name": name, "roles": sorted(set(roles))}
    facts |= {"tenants": sorted(set(tenants))} if tenants else {}
    facts["sha256"] = hash_of(token).hex()
    if as_json:
        print(json.dumps({"token": token, "section": facts}))
        return
    print(f"The token of {name}, which is shown this once:\n\n{token}\n\nFor the tokens' file ([api] tokens_file):\n")
    print("\n".join(["[[token]]", *(f"{key} = {json.dumps(value)}" for key, value in facts.items())]))
