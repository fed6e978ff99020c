"""The live page's README names its files, and its pictures are there and small."""

import re

from gateway.adapters.http.page import FOLDER, files

MOST_PICTURE_BYTES = 120_000
TEXT = (FOLDER / "README.md").read_text("utf-8")


def test_it_names_each_file() -> None:
    """A file that is not in the table has no reason to exist."""
    assert {file.name for file in files().values()} <= set(re.findall(r"`([\w.]+)`", TEXT))


def test_its_pictures_are_there_and_small() -> None:
    """A reader of the README loads them each time. To draw them anew: make page-pictures."""
    named = set(re.findall(r"\((pictures/[\w-]+\.png)\)", TEXT))
    assert named == {f"pictures/{file.name}" for file in (FOLDER / "pictures").iterdir()}
    assert all((FOLDER / name).stat().st_size < MOST_PICTURE_BYTES for name in named)
