"""A config to begin with: the shipped examples, with the answers of one site in them.

Rules of this file:

- The examples are the templates, so that there is one text of each. A line that is answered stands in its example
  exactly once; an example that was changed so that it does not is an error here, and a test finds it.
- A secret stands in a file of its own, for its owner alone: one for the gateway, one for each manager user.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Final, NamedTuple

from rating import dialling_in

SWITCH: Final = "pbx1"
TARIFF: Final = "example.csv"
PLACES: Final = ("asterisk", "gateway.toml", "lists", "plans", "schema", "secrets", "tariffs", "tenants")
"""What is written into a config folder, seen from it."""

_EXAMPLE_TENANT: Final = "acme"
_EXAMPLE_TARIFF: Final = "default"
# What an admin copies lines from is no file to copy.
_NOT_COPIED: Final = frozenset({"extensions-example.conf"})
_SECRET_FILE: Final = re.compile(
    r"^#(?:try)?include[ \t]+(?P<name>callgate-(?:[a-z]+-)?secret\.conf)[ \t]*$", re.MULTILINE
)
_LAST_EMERGENCY: Final = "exten => 999,1,NoOp(emergency)"
_PERMIT: Final = """\
; The PBX is not on callgate's machine: the address of that machine, as the PBX sees it.
; permit = 192.0.2.10/255.255.255.255
"""


@dataclass(frozen=True, slots=True)
class Answers:
    """What is known of a site. Each was checked by the rules of the files that it goes into.

    ``international_prefix`` is what stands for ``+``; ``state_dir`` is absolute.
    """

    pbx: str
    country: str
    currency: str
    tenant: str
    international_prefix: str
    state_dir: Path


class StarterFile(NamedTuple):
    """A file to write: its path from the config folder, and its text."""

    name: str
    text: str
    is_secret: bool = False


def starter(answers: Answers, examples: Path, fresh_secret: Callable[[], str]) -> list[StarterFile]:
    """All files of a config folder, and below ``asterisk`` those that are copied to the PBX."""
    secrets = _secrets(examples, fresh_secret)
    return [
        _gateway(answers, examples),
        StarterFile(f"secrets/{SWITCH}", f"{secrets['callgate-secret.conf']}\n", is_secret=True),
        _tenant(answers, examples),
        *_tariff(answers, examples),
        *(_plan(answers, file) for file in sorted((examples / "plans").glob("*.toml"))),
        *(_as_shipped(examples, file) for file in sorted((examples / "lists").glob("*.csv"))),
        *(_as_shipped(examples, file) for file in sorted((examples / "schema").glob("*.json"))),
        *(_asterisk(answers, examples, file) for file in to_copy(examples)),
        *(_secret_of_the_pbx(answers, name, secret) for name, secret in secrets.items()),
    ]


def to_copy(examples: Path) -> list[Path]:
    """The files of ``asterisk`` that go to the PBX as they are, by name."""
    return [file for file in sorted((examples / "asterisk").glob("*.conf")) if file.name not in _NOT_COPIED]


def is_here(host: str) -> bool:
    """Whether the PBX is on the gateway's own machine."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _secrets(examples: Path, fresh_secret: Callable[[], str]) -> dict[str, str]:
    """A secret for each file of one that the shipped files read."""
    texts = (file.read_text("utf-8") for file in to_copy(examples))
    return {found["name"]: fresh_secret() for text in texts for found in _SECRET_FILE.finditer(text)}


def _gateway(answers: Answers, examples: Path) -> StarterFile:
    lines = {
        '# state_dir = "../.callgate"': f"state_dir = {_quoted(str(answers.state_dir))}",
        'host = "127.0.0.1"': f"host = {_quoted(answers.pbx)}",
        'secret = "change-me"': '# secret = "…"',
        f'# secret_file = "secrets/{SWITCH}"': f'secret_file = "secrets/{SWITCH}"',
    }
    return StarterFile("gateway.toml", _answered(examples / "gateway.toml", lines))


def _tenant(answers: Answers, examples: Path) -> StarterFile:
    """Recharges and webhook are left out: an example's amounts and address are nobody's."""
    trunk_prefix = dialling_in(answers.country).trunk_prefix
    about = "a file's name is its tenant's, as the dialplan's Gosub or an endpoint's accountcode names it."
    unused = (
        "trigger = 10.00",
        "amount = 25.00",
        "[webhook]",
        'url = "http://127.0.0.1:8787/callgate"',
        'secrets = ["whsec_Y2hhbmdlLW1lLWFjbWUtd2ViaG9vay1zZWNyZXQtLS0="]',
    )
    lines = {
        f'# The tenant "{_EXAMPLE_TENANT}": {about}': f'# The tenant "{answers.tenant}": {about}',
        'currency = "USD"': f"currency = {_quoted(answers.currency)}",
        f'tariff = "{_EXAMPLE_TARIFF}.csv"': f'tariff = "{TARIFF}"',
        f'accountcodes = ["{_EXAMPLE_TENANT}"]': f"accountcodes = [{_quoted(answers.tenant)}]",
        'home_country = "US"': f"home_country = {_quoted(answers.country)}",
        'international_prefixes = ["011"]': f"international_prefixes = [{_quoted(answers.international_prefix)}]",
        'trunk_prefix = "1"': f"trunk_prefix = {_quoted(trunk_prefix)}",
        'internal_patterns = ["_2XXX"]': '# internal_patterns = ["_2XXX"]',
        **{line: f"# {line}" for line in unused},
    }
    text = _answered(examples / "tenants" / f"{_EXAMPLE_TENANT}.toml", lines)
    return StarterFile(f"tenants/{answers.tenant}.toml", text)


def _tariff(answers: Answers, examples: Path) -> list[StarterFile]:
    folder = examples / "tariffs"
    lines = {
        "# What the rows of default.csv cannot say. README.md shows what else may stand here.": (
            "# EXAMPLE PRICES, which are nobody's: write your own file, and name it in the tenants' files (tariff = …)."
        ),
        'currency = "USD"': f"currency = {_quoted(answers.currency)}",
    }
    rows = (folder / f"{_EXAMPLE_TARIFF}.csv").read_text("utf-8")
    beside = _answered(folder / f"{_EXAMPLE_TARIFF}.toml", lines)
    return [
        StarterFile(f"tariffs/{TARIFF}", rows),
        StarterFile(f"tariffs/{Path(TARIFF).with_suffix('.toml')}", beside),
    ]


def _plan(answers: Answers, file: Path) -> StarterFile:
    lines = {
        'currency = "USD"': f"currency = {_quoted(answers.currency)}",
        f'tariff = "{_EXAMPLE_TARIFF}.csv"': f'tariff = "{TARIFF}"',
    }
    return StarterFile(f"plans/{file.name}", _answered(file, lines))


def _asterisk(answers: Answers, examples: Path, file: Path) -> StarterFile:
    """The dialplan itself puts the home country's emergency numbers through, whatever is dead."""
    if file.name != "callgate-local.conf":
        return _as_shipped(examples, file)
    known = file.read_text("utf-8").splitlines()
    added = [_emergency(number) for number in dialling_in(answers.country).emergency_numbers]
    lines = [_LAST_EMERGENCY, *(line for line in added if line not in known)]
    return StarterFile(f"asterisk/{file.name}", _answered(file, {_LAST_EMERGENCY: "\n".join(lines)}))


def _emergency(number: str) -> str:
    return f"exten => {number},1,NoOp(emergency)"


def _secret_of_the_pbx(answers: Answers, name: str, secret: str) -> StarterFile:
    permit = "" if is_here(answers.pbx) else _PERMIT
    return StarterFile(f"asterisk/{name}", f"secret = {secret}\n{permit}", is_secret=True)


def _as_shipped(examples: Path, file: Path) -> StarterFile:
    return StarterFile(file.relative_to(examples).as_posix(), file.read_text("utf-8"))


def _answered(example: Path, lines: Mapping[str, str]) -> str:
    """The example's text, with other lines in the place of some."""
    text = example.read_text("utf-8").splitlines()
    for line in lines:
        assert text.count(line) == 1, f"{example} has {line!r} {text.count(line)} times, and not once"
    return "\n".join(lines.get(line, line) for line in text) + "\n"


def _quoted(text: str) -> str:
    """A string of TOML; for what may stand in one, JSON's is the same."""
    return json.dumps(text, ensure_ascii=False)
