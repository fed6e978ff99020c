"""Writing a folder of new files, whole or not at all, over nothing."""

import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from gateway.settings.starter import StarterFile

FOLDER_MODE: Final = 0o750
FILE_MODE: Final = 0o640
SECRET_MODE: Final = 0o600


class TakenError(Exception):
    """Something is there already; the text is where."""

    def __init__(self, names: Sequence[Path]) -> None:
        super().__init__(", ".join(map(str, names)))


def check_free(folder: Path, names: Sequence[str]) -> None:
    """Make sure that nothing is where ``names`` would be written. Raises TakenError with what is."""
    if os.path.lexists(folder) and not folder.is_dir():
        raise TakenError([folder])
    taken = [folder / name for name in sorted(names) if os.path.lexists(folder / name)]
    if taken:
        raise TakenError(taken)


def write_fresh(folder: Path, files: Sequence[StarterFile], look: Callable[[Path], None]) -> None:
    """Write the files into ``folder``, which is made where it is not there; nobody else can read them.

    They are written beside their place, and ``look`` may refuse them there by an error of its own; then they are moved
    into it. A folder that is there keeps its owner and mode.

    Raises:
        TakenError: something of that name is there; nothing was written.
        OSError: they cannot be written; nothing is left of them.
    """
    folder = Path(os.path.realpath(folder))
    tops = list(dict.fromkeys(Path(file.name).parts[0] for file in files))
    check_free(folder, tops)
    is_new = not folder.exists()
    beside = Path(tempfile.mkdtemp(prefix=".callgate-init-", dir=folder.parent if is_new else folder))
    try:
        for file in files:
            _write(beside, file)
        look(beside)
        if is_new:
            beside.chmod(FOLDER_MODE)
            beside.rename(folder)  # the kernel refuses it over a folder that holds something
        else:
            _move(tops, beside, folder)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _write(folder: Path, file: StarterFile) -> None:
    path = folder / file.name
    if not path.parent.is_dir():
        path.parent.mkdir()
        path.parent.chmod(FOLDER_MODE)
    path.touch(SECRET_MODE, exist_ok=False)
    path.write_text(file.text, "utf-8")
    path.chmod(SECRET_MODE if file.is_secret else FILE_MODE)


def _move(names: Sequence[str], source: Path, folder: Path) -> None:
    """All or none. What makes it a config, gateway.toml, comes last: a half-moved one is taken for none."""
    moved: list[Path] = []
    try:
        for name in sorted(names, key=lambda name: (source / name).is_file()):
            (source / name).rename(folder / name)
            moved.append(folder / name)
    except OSError:
        for path in moved:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        raise
