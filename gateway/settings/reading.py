"""Reading the files of a config: text and TOML. What is wrong is noted, and reading goes on."""

import os
import re
import stat
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, Generic, NamedTuple, TypeVar

from pydantic import BaseModel, ValidationError

from gateway.settings.lines import KeyLines, KeyPath
from gateway.settings.problem import Problem
from gateway.settings.translate import UNKNOWN_KEY, key_text, problems_of

MOST_TOML_BYTES: Final = 1024 * 1024
MOST_SECRET_BYTES: Final = 16 * 1024
_AT_LINE: Final = re.compile(r"\s*\(at line (?P<line>\d+), column (?P<column>\d+)\)$")
_PLACE: Final = re.compile(r"\s*\(at end of document\)$")

Model = TypeVar("Model", bound=BaseModel)


def is_file(file: Path) -> bool:
    """Whether there is such a file, as far as this user may look."""
    try:
        return file.is_file()
    except (OSError, ValueError):
        return False


def _remove(data: Any, path: KeyPath) -> None:
    for part in path[:-1]:
        data = data[part]
    del data[path[-1]]


@dataclass(slots=True)
class Reading:
    """One reading of a config folder: what was found, and all that is wrong."""

    folder: Path
    environ: Mapping[str, str]
    problems: list[Problem] = field(default_factory=list)
    _warned: set[Path] = field(default_factory=set)

    def path(self, name: str) -> Path:
        """A path of the config; a relative one starts at the config folder, wherever the process does."""
        return Path(os.path.normpath(self.folder / name))

    def text(self, file: Path, most_bytes: int, remedy: str) -> str | None:
        """A file's text; None, and a problem noted, when it cannot be had."""
        try:
            if not file.is_file():
                what = "this is no file" if file.exists() else "this file is missing"
                self.problems.append(Problem(file, None, "", what, remedy))
                return None
            with file.open("rb") as stream:
                content = stream.read(most_bytes + 1)
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or str(error)
            self.problems.append(Problem(file, None, "", f"this cannot be read ({why})", remedy))
            return None
        if len(content) > most_bytes:
            self.problems.append(Problem(file, None, "", f"this is larger than {most_bytes} bytes", remedy))
            return None
        try:
            return content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = content.count(b"\n", 0, error.start) + 1
            self.problems.append(Problem(file, line, "", "this is not UTF-8", "save the file as UTF-8"))
            return None

    def document(self, file: Path, model: type[Model], remedy: str) -> "Document[Model] | None":
        """A TOML file, checked against its model; None, and problems noted, when it has not the model's shape.

        A key that is not known is a problem, and the rest is read on, so that all problems are found at once.
        """
        text = self.text(file, MOST_TOML_BYTES, remedy)
        return None if text is None else self.parse(file, text, model)

    def parse(self, file: Path, text: str, model: type[Model]) -> "Document[Model] | None":
        """The same of a file's text."""
        data = self._toml(file, text)
        if data is None:
            return None
        lines = KeyLines(text)
        try:
            return Document(self, file, text, lines, model.model_validate(data))
        except ValidationError as error:
            self.problems.extend(problems_of(error, model, file, lines))
            unknown = [bad["loc"] for bad in error.errors(include_url=False) if bad["type"] == UNKNOWN_KEY]
            if len(unknown) < error.error_count():
                return None
            for path in unknown:
                _remove(data, path)
            return Document(self, file, text, lines, model.model_validate(data))

    def _toml(self, file: Path, text: str) -> dict[str, Any] | None:
        try:
            return tomllib.loads(text.replace("\r\n", "\n"), parse_float=Decimal)
        except tomllib.TOMLDecodeError as error:
            place = _AT_LINE.search(str(error))
            what = _PLACE.sub("", _AT_LINE.sub("", str(error)))
            line = int(place["line"]) if place else len(text.splitlines())
            where = f", column {place['column']}" if place else ""
            remedy = f"mend the TOML on this line{where}; strings stand in double quotes"
            self.problems.append(Problem(file, line, "", f"this is not TOML: {what.lower()}", remedy))
        except (ValueError, ArithmeticError, RecursionError):
            # A number of thousands of digits, or brackets a thousand deep: no config that a person wrote.
            remedy = "look for a number or a nesting that is too long"
            self.problems.append(Problem(file, None, "", "this is no config", remedy))
        return None

    def note(self, file: Path, line: int, what: str, remedy: str) -> None:
        """Note what is wrong with a line of a file that is no TOML."""
        self.problems.append(Problem(file, line, "", what, remedy))

    def warn_if_readable(self, file: Path, line: int | None, key: str) -> None:
        """A secret that everybody on the machine can read is told, once a file."""
        try:
            is_open = bool(file.stat().st_mode & stat.S_IROTH)
        except OSError:
            return
        if is_open and file not in self._warned:
            self._warned.add(file)
            what = "this holds a secret that every user of this machine can read"
            self.problems.append(Problem(file, line, key, what, f"run chmod o-rwx {file}", is_warning=True))


class Source(NamedTuple):
    """A file as it was read."""

    file: str
    text: str


@dataclass(frozen=True, slots=True)
class Document(Generic[Model]):
    """One file that has the right shape. What is noted on it carries its name and the key's line."""

    reading: Reading
    file: Path
    text: str = field(repr=False)
    lines: KeyLines
    content: Model

    @property
    def source(self) -> Source:
        """What it was made of."""
        return Source(str(self.file), self.text)

    def place(self, path: KeyPath) -> str:
        """Where a key stands: the file, from the config folder, and its line."""
        line = self.lines.find(path)
        name = os.path.relpath(self.file, self.reading.folder)
        return name if line is None else f"{name}:{line}"

    def name(self, path: KeyPath) -> str:
        """A key as an admin writes it."""
        return key_text(path)

    def wrong(self, path: KeyPath, what: str, remedy: str) -> None:
        """Note what is wrong with a key."""
        self._note(path, what, remedy, is_warning=False)

    def warn(self, path: KeyPath, what: str, remedy: str) -> None:
        """Note what is likely not meant."""
        self._note(path, what, remedy, is_warning=True)

    def _note(self, path: KeyPath, what: str, remedy: str, *, is_warning: bool) -> None:
        line = self.lines.find(path)
        self.reading.problems.append(Problem(self.file, line, key_text(path), what, remedy, is_warning=is_warning))
