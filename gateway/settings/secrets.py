"""Secrets: in the file itself, in a file of their own, or in the environment; in exactly one of the three."""

import re
from collections.abc import Callable
from typing import Final, Protocol

from gateway.settings.lines import KeyPath
from gateway.settings.reading import MOST_SECRET_BYTES, Document, Model

# The examples' secrets begin like this, in plain text and in base64. They are public.
_EXAMPLE_MARKS: Final = ("change-me", "Y2hhbmdlLW1l")
_MOST_HEADER_BYTES: Final = 1000  # a line of AMI holds 1,024
# The one line of callgate-secret.conf, as Asterisk reads it: "=" or "=>", any case, a comment from ";" on.
_ASTERISK_LINE: Final = re.compile(r"secret[ \t]*=>?(?P<secret>[^;\r\n]*)(?:;[^\r\n]*)?", re.IGNORECASE)


class HasSecret(Protocol):
    """A section whose secret may stand in a file or in the environment."""

    @property
    def secret_file(self) -> str | None:
        """Where the secret's file is, from the config folder."""
        ...

    @property
    def secret_env(self) -> str | None:
        """The variable's name."""
        ...


def secret_text(
    document: Document[Model],
    at: KeyPath,
    section: HasSecret,
    inline: tuple[str, str | None],
    *,
    of_file: Callable[[str], str] = str.strip,
) -> str | None:
    """The text of a section's secret, its ends stripped; None, and a problem noted, where there is none.

    ``inline`` is the key that may hold the secret itself, and its value; ``of_file`` takes the secret out of its file.
    """
    inline_key, value = inline
    keys = {inline_key: value, "secret_file": section.secret_file, "secret_env": section.secret_env}
    given = [name for name, found in keys.items() if found is not None]
    if len(given) != 1:
        what = "there is no secret" if not given else f"the secret stands in {' and in '.join(given)}"
        document.wrong(at, what, f"write exactly one of {', '.join(keys)}")
        return None
    place = (*at, given[0])
    if value is not None:
        _warn_of_example(document, place, value)
        if not _is_example(value):  # an open file gives that away to nobody
            document.reading.warn_if_readable(document.file, document.lines.find(place), document.name(place))
        return value
    if section.secret_file is not None:
        content = secret_from_file(document, place, section.secret_file)
        text = None if content is None else of_file(content)
    else:
        text = secret_from_environment(document, place, section.secret_env or "")
    if text == "":
        document.wrong(place, "the secret is empty", "put the secret there, on one line")
        return None
    return text


def secret_from_file(document: Document[Model], place: KeyPath, name: str) -> str | None:
    """What a file holds; None, and a problem noted, where it cannot be read."""
    file = document.reading.path(name)
    remedy = f"write the secret into it, or change {document.name(place)} in {document.file}"
    text = document.reading.text(file, MOST_SECRET_BYTES, remedy)
    if text is not None:
        document.reading.warn_if_readable(file, None, "")
    return text


def secret_from_environment(document: Document[Model], place: KeyPath, name: str) -> str | None:
    """What a variable holds, its ends stripped; None, and a problem noted, where there is none."""
    text = document.reading.environ.get(name)
    if text is None:
        document.wrong(place, f"the environment has no {name!a}", "set the variable before callgate starts")
        return None
    return text.strip()


def asterisk_secret(content: str) -> str:
    """The secret of a file that holds it alone, or in the one line ``secret = ...`` of callgate-secret.conf."""
    line = _ASTERISK_LINE.fullmatch(content.strip())
    return (line["secret"] if line else content).strip()


def fits_a_header(text: str) -> bool:
    """Whether a secret can be sent in a header of AMI."""
    return text.isprintable() and len(text.encode()) <= _MOST_HEADER_BYTES


def _warn_of_example(document: Document[Model], place: KeyPath, text: str) -> None:
    """Tell when the secret is the one of the examples, which everybody knows."""
    if _is_example(text):
        what = "this is the secret of the example, which everybody can read"
        document.warn(place, what, "make a new one before this gate stands anywhere but on a test machine")


def _is_example(text: str) -> bool:
    return any(mark in text for mark in _EXAMPLE_MARKS)
