"""A picture of a notice for its README: in English on a desk by day, in French on a phone by night (make mail-picture).

Headless Chromium draws the HTML that is sent, and pngquant makes the picture small. They are installed by apt where
they are not there (root).
"""

import html
import subprocess
import tempfile
from pathlib import Path
from typing import Final

from tests.lab.build import install_tools

from .test_readme import MOST_PICTURE_BYTES, PICTURE, letter_of

CASE: Final = "recharge_requested"
DAY: Final = (560, 780)
NIGHT: Final = (375, 780)
GAP: Final = 24
CHROMIUM: Final = (
    "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars",
)  # fmt: skip


def frame(language: str, size: tuple[int, int], scheme: str) -> str:
    """One mail, in a reader's window of that size. A page is as dark as the frame that it is in."""
    width, height = size
    letter = html.escape(letter_of(CASE, language).html)
    return (
        f'<iframe srcdoc="{letter}" style="width:{width}px;height:{height}px;border:0;color-scheme:{scheme}"></iframe>'
    )


def draw(page: str, width: int, height: int) -> None:
    """Write the picture, finer than it is large, with as few colours as it needs."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "page.html"
        file.write_text(page, "utf-8")
        size = (f"--window-size={width},{height}", "--force-device-scale-factor=1.5")
        words = (*CHROMIUM, f"--user-data-dir={folder}/profile", *size, f"--screenshot={PICTURE}", file.as_uri())
        subprocess.run(words, check=True, capture_output=True, timeout=60)
    few = ("pngquant", "--force", "--strip", "--output", str(PICTURE), "64", str(PICTURE))
    subprocess.run(few, check=True, timeout=60)


def main() -> None:
    """Draw it, and see that it is small enough to be kept."""
    install_tools({"chromium": "chromium fonts-liberation", "pngquant": "pngquant"})
    frames = frame("en-GB", DAY, "light") + frame("fr", NIGHT, "dark")
    style = f"margin:0;display:flex;gap:{GAP}px;background:#fff"
    draw(f'<!DOCTYPE html><meta charset="utf-8"><body style="{style}">{frames}', DAY[0] + GAP + NIGHT[0], DAY[1])
    size = PICTURE.stat().st_size
    print(f"{PICTURE.name}: {size} bytes")
    assert size < MOST_PICTURE_BYTES


if __name__ == "__main__":
    main()
