"""Where the examples of config/ are: beside the code in a checkout, inside the package in a wheel."""

from pathlib import Path
from typing import Final

_PACKAGE: Final = Path(__file__).parents[1]
_KNOWN_BY: Final = Path("asterisk", "extensions-callgate.conf")


class NoExamplesError(Exception):
    """This installation was made without them."""


def shipped() -> Path:
    """The folder of the examples.

    Raises:
        NoExamplesError: there is none, as in the image.
    """
    for folder in (_PACKAGE / "config", _PACKAGE.parent / "config"):
        if (folder / _KNOWN_BY).is_file():
            return folder
    raise NoExamplesError(
        "this installation carries no examples, as the image does not; run the command where callgate was installed "
        "from a wheel or a checkout."
    )
