"""``callgate init``: a config and what the PBX needs, from a few answers."""

import os
import secrets
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from pydantic import TypeAdapter, ValidationError

from gateway.cli.common import CONFIG, fail
from gateway.cli.fresh_folder import TakenError, check_free, write_fresh
from gateway.settings import is_name, read
from gateway.settings.sections import Currency, Host
from gateway.settings.shipped import NoExamplesError, shipped
from gateway.settings.starter import PLACES, TARIFF, Answers, StarterFile, is_here, starter
from rating import PlanError, dialling_in

SECRET_BYTES: Final = 24
_MOST_PREFIX_DIGITS: Final = 8
Check = Callable[[str], str]
"""Takes an answer, and gives it as it is written; raises ValueError with what is wrong with it, and a remedy."""


def init(  # the flags are the questions
    folder: Annotated[
        Path, typer.Argument(envvar="CALLGATE_CONFIG", help="The folder to write; nothing in it is overwritten.")
    ] = CONFIG,
    pbx: Annotated[str | None, typer.Option(help="Where the PBX's AMI listens: a name or an address.")] = None,
    country: Annotated[str | None, typer.Option(help="The home country: two capitals of ISO 3166.")] = None,
    currency: Annotated[str | None, typer.Option(help="What money is counted in: three capitals of ISO 4217.")] = None,
    tenant: Annotated[str | None, typer.Option(help="The first tenant: a name for the dialplan.")] = None,
    international_prefix: Annotated[
        str | None, typer.Option(help="What is dialled for +, where it is not the country's usual one.")
    ] = None,
    state_dir: Annotated[
        str | None,
        typer.Option(help="Where callgate keeps what it writes, the money among it [default: beside the folder]."),
    ] = None,
) -> None:
    """Write a config with a first tenant, and what the PBX needs, with a secret of its own.

    What no option answers is asked on the terminal.
    """
    try:
        examples = shipped()
        check_free(folder, PLACES)
        answers = _answers(folder, pbx, country, currency, tenant, international_prefix, state_dir)
        files = starter(answers, examples, lambda: secrets.token_hex(SECRET_BYTES))
        write_fresh(folder, files, _look)
    except NoExamplesError as error:
        fail(str(error))
    except TakenError as error:
        fail(f"there already: {error}; nothing was written. Name another folder: callgate init FOLDER.")
    except (OSError, UnicodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "its name is not UTF-8"
        fail(f"{folder} cannot be written: {why}. Nothing was written; name a folder that can.")
    _print_steps(folder, answers, files, examples)


# --------------------------------------------------------------------------------------------------- the answers


def _answers(
    folder: Path,
    pbx: str | None,
    country: str | None,
    currency: str | None,
    tenant: str | None,
    international_prefix: str | None,
    state_dir: str | None,
) -> Answers:
    missing = {"--pbx": pbx, "--country": country, "--currency": currency, "--tenant": tenant}
    _check_terminal([name for name, value in missing.items() if value is None])
    where = _answer("--pbx", pbx, "Where is the PBX (a name or an address)?", _pbx, "127.0.0.1")
    home = _answer("--country", country, "Its home country (ISO 3166, such as US)?", _country, None)
    usual = _usual_currency(home)
    money = _answer("--currency", currency, "The currency of the accounts (ISO 4217)?", _currency, usual)
    first = _answer("--tenant", tenant, "The first tenant's name, as in the dialplan?", _tenant, None)
    prefix = international_prefix or dialling_in(home).international_prefix or None
    if prefix is None:
        _check_terminal(["--international-prefix"])
    question = f"What is dialled in {home} for +, with your carrier?"
    abroad = _answer("--international-prefix", prefix, question, _international_prefix, None)
    return Answers(where, home, money, first, abroad, _state_dir(folder, state_dir))


def _check_terminal(missing: list[str]) -> None:
    if missing and not sys.stdin.isatty():
        fail(f"there is no terminal to ask on; give {', '.join(missing)} too. Nothing was written.")


def _answer(name: str, value: str | None, question: str, check: Check, default: str | None) -> str:
    """A flag's value, or what is typed: asked again until it is right."""
    if value is None:
        return str(typer.prompt(question, default=default, value_proc=lambda text: _asked(check, text)))
    try:
        return check(value)
    except ValueError as error:
        fail(f"{name}: {error}. Nothing was written.")


def _asked(check: Check, text: str) -> str:
    try:
        return check(text.strip())
    except ValueError as error:
        raise typer.BadParameter(f"{error}.") from error


def _by_rule(rule: Any, text: str) -> str:
    """By the rule of the file's own key."""
    try:
        return str(TypeAdapter(rule).validate_python(text))
    except ValidationError as error:
        raise ValueError(error.errors(include_url=False)[0]["msg"]) from None


def _pbx(text: str) -> str:
    return _by_rule(Host, text)


def _currency(text: str) -> str:
    return _by_rule(Currency, text.upper())


def _country(text: str) -> str:
    try:
        dialling_in(text.upper())
    except PlanError as error:
        raise ValueError(str(error).rstrip(".")) from None
    return text.upper()


def _tenant(text: str) -> str:
    if not is_name(text) or not text[0].isalnum():
        what = f"{text[:60]!a} is no name that a dialplan can have"
        raise ValueError(f"{what}; write 1 to 64 of A-Z, a-z, 0-9, dot, dash and underscore, a letter or digit first")
    return text


def _international_prefix(text: str) -> str:
    if not (text.isascii() and text.isdigit() and len(text) <= _MOST_PREFIX_DIGITS):
        raise ValueError(f"{text[:60]!a} is no international prefix; write digits such as 00")
    return text


def _usual_currency(country: str) -> str | None:
    """What is paid with there; a country may have several, or none that is known."""
    from babel.numbers import get_territory_currencies  # noqa: PLC0415 - only this command waits for it

    known = get_territory_currencies(country)
    return known[0] if known else None


def _state_dir(folder: Path, named: str | None) -> Path:
    """Where the money is: absolute, so that a config that is copied has the same books."""
    if named is not None:
        path = _answer("--state-dir", named, "", _folder, None)
        return Path(os.path.abspath(path))  # noqa: PTH100 - resolve() would show links' targets
    real = Path(os.path.realpath(folder))
    return Path("/var/lib/callgate") if real.is_relative_to("/etc") else real.with_name(f"{real.name}-state")


def _folder(text: str) -> str:
    if not text or not text.isprintable():
        raise ValueError(f"{text[:60]!a} is no folder; write its path, of letters that can be seen")
    return text


def _look(folder: Path) -> None:
    """What was written passes the check, or none of it stays."""
    settings, problems = read(folder)
    if settings is None:
        told = "\n".join(str(problem) for problem in problems)
        fail(f"these answers make no config that is right; nothing was written.\n{told}")


# ----------------------------------------------------------------------------------------------------- the steps


def _print_steps(folder: Path, answers: Answers, files: list[StarterFile], examples: Path) -> None:
    """What is left to do, in order."""
    here = shlex.quote(str(folder))
    config = "" if folder == CONFIG else f" --config {here}"
    print(f"""\
Written: {folder} ({len(files)} files). The books will be in {answers.state_dir}.
The prices in {folder / "tariffs" / TARIFF} are an example: write your own before anybody pays by them.

On the PBX, as root:
  install -m 640 -g asterisk -t /etc/asterisk {shlex.quote(str(folder / "asterisk"))}/*.conf
  In manager.conf, in [general]: enabled = yes{_bind(answers)}.
{_includes(files)}
  Before each Dial to the trunk, in the one context that reaches it:
    same => n,Gosub(callgate,authorize,1(${{FILTER(0-9+*#,${{EXTEN}})}},{answers.tenant}))
    same => n,Dial(PJSIP/${{CALLGATE_DIAL}}@trunk,60,i${{CALLGATE_DIAL_OPTS}})
    same => n,Hangup(${{HANGUPCAUSE}})
  asterisk -rx "dialplan reload"
  asterisk -rx "manager reload"

  Let your phones reach that context (include => NAME in theirs), and the trunk by no other way.

Here:
  In {folder / "gateway.toml"}, in [[switch]]: trunks = ["PJSIP/trunk"], with the name of your trunk's endpoint
  callgate check{config}
  callgate serve{config}    in a terminal of its own, until Ctrl-C
  callgate doctor{config}{_afterwards(files)}
  callgate topup {answers.tenant} 25.00{config}

All examples, the unit for systemd, rules for Prometheus, dashboards and their READMEs: {examples}""")


def _bind(answers: Answers) -> str:
    if is_here(answers.pbx):
        return ", bindaddr = 127.0.0.1"
    return ", and a bindaddr that this machine reaches; in each secret file, the permit"


def _includes(files: list[StarterFile]) -> str:
    """The lines that Asterisk's own files want, each as its file's head has it; the gateway's user comes first."""
    managers = [file for file in files if file.name.startswith("asterisk/manager-")]
    managers.sort(key=lambda file: file.name.removesuffix(".conf"))
    lines = ["  At the end of extensions.conf:  #include extensions-callgate.conf"]
    for file in managers:
        name = Path(file.name).name
        word = "tryinclude" if f"#tryinclude {name}" in file.text else "include"
        lines.append(f"  At the end of manager.conf:     #{word} {name}")
    return "\n".join(lines)


def _afterwards(files: list[StarterFile]) -> str:
    """A user that only the doctor has is for as long as it looks."""
    names = [Path(file.name).name for file in files if file.name.startswith("asterisk/") and "doctor" in file.name]
    if not names:
        return ""
    gone = " ".join(f"/etc/asterisk/{name}" for name in names)
    return f'\n  and when it is content, on the PBX: rm {gone}\n    asterisk -rx "manager reload"'
