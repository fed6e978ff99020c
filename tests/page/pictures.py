"""Pictures of each page for the docs, light, dark and narrow (make page-pictures).

The calls, the books and the refusals are a real gateway's, some three quarters of a minute old; a tenant's week before
that is made up, in the journal's archive, as no demo runs for so long. Chromium and pngquant come by apt (root).
"""

from __future__ import annotations

import asyncio
import random
import subprocess
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gateway.adapters.http.page import FOLDER
from gateway.core.access import Role
from gateway.core.forecast import HOUR_MS
from gateway.core.journal import Entry, to_line

from .browser import Browser, Page
from .chromium import install
from .scene import MICROS, TOKENS, Scene

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PICTURES: Final = FOLDER / "pictures"
MOST_BYTES: Final = 120_000
WIDE, NARROW = (1440, 860), (390, 844)
TALL: Final = 1250
SECONDS: Final = 42.0
LIMITS: Final = (
    '\n[[limit]]\nname = "day"\nspend_per_day = "12.00"\n\n[[limit]]\nname = "abroad"\n'
    'classes = ["international"]\nspend_per_day = "4.00"\n'
)
MONEY: Final = {
    "acme": 24.5, "hooli": 6.2, "pied-piper": 0.38, "maple": 18, "globex": 31, "baker-street": 4.1, "boulangerie": 12,
    "werkstatt": 2.4, "uhrmacher": 0.9, "outback": 8, "ramen-ya": 1900,
}  # fmt: skip
CALLS: Final = (
    ("acme", "011442079460123", "12125550117"), ("acme", "01133170189044", "12125550142"),
    ("globex", "0012125550188", "442079460117"), ("globex", "08081570042", "442079460101"),
    ("maple", "18885550061", "14165550120"), ("hooli", "011493023125700", "12125550170"),
    ("boulangerie", "00442079460900", "33170189012"), ("werkstatt", "0033170189055", "493023125111"),
    ("baker-street", "0081345550321", "442079460222"), ("uhrmacher", "0012125550101", "41446681801"),
    ("ramen-ya", "01012125550166", "81345550110"), ("acme", "0112348031234777", "12125550142"),
    ("maple", "011551132550456", "14165550133"), ("globex", "00611255507299", "442079460130"),
    ("hooli", "18005550099", "12125550171"), ("outback", "1800975111", "61255507211"),
)  # fmt: skip


async def play(scene: Scene) -> None:
    """Calls of all ages, one that is about to be cut, and some that are refused."""
    for name, amount in MONEY.items():
        await scene.top_up(name, amount)
    await scene.gateway.desk.restrict("outback", "61255507200", "dials all night", None)
    pause = SECONDS / (len(CALLS) + 4)
    for number, (tenant, dialled, cli) in enumerate(CALLS):
        scene.dial(tenant, dialled, cli, ring_seconds=1.0)
        if number % 4 == 1:
            scene.dial("papeterie", "0805980123", "33170189099")
        if number % 5 == 2:
            scene.dial("stranger", "18005550000", "12125550000")
        if number % 6 == 3:
            scene.dial("outback", "0011442079460000", "61255507200")
            scene.dial("hooli", "01188213012345", "12125550170")
        await asyncio.sleep(pause)
    scene.dial("pied-piper", "011442079460777", "12125550111")
    scene.dial("maple", "011999", "14165550133")
    await asyncio.sleep(3 * pause)
    scene.dial("acme", "18005550123", "12125550150", ring_seconds=60.0)
    scene.dial("globex", "0033170189033", "442079460160", ring_seconds=60.0)
    await asyncio.sleep(pause)


async def remember(scene: Scene) -> None:
    """Acme's week, made up: spent by day, topped up when it runs low."""
    dice = random.Random(3)
    now_ms = int(time.time() * 1000)
    balance = 22 * MICROS
    hours: dict[int, int] = {}
    walk: list[Entry] = []
    start_ms = now_ms - 7 * 24 * HOUR_MS
    for number in range(1, 1_300):
        at_ms = start_ms + number * (7 * 24 * HOUR_MS + 120_000) // 1_300
        is_day = 7 <= at_ms // HOUR_MS % 24 <= 18
        spent = dice.randrange(20_000, 190_000 if is_day else 26_000)
        kind, credit = ("settle", -spent) if balance - spent > 4 * MICROS else ("topup", 20 * MICROS)
        balance += credit
        if kind == "settle" and at_ms < now_ms:
            hours[at_ms // HOUR_MS] = hours.get(at_ms // HOUR_MS, 0) + spent
        walk.append(Entry(number, kind, f"{at_ms}-0", "made/up/1", credit=credit, balance=balance, at_ms=at_ms))
    shift = round(MONEY["acme"] * MICROS) - walk[-1].balance  # it ends where the real one goes on
    lines = [to_line(replace(entry, balance=entry.balance + shift)) for entry in walk]
    folder = scene.gateway.settings.journal.folder / "acme"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "000000000001.jsonl").write_text("\n".join([*lines, ""]))
    words = ["0"] * 168
    for hour, micros in hours.items():
        words[hour % 168] = str(-(-micros // 10_000))
    await scene.gateway.ledger.pipe.call("SET", "cg:{acme}:hours", " ".join(words))


async def shots(page: Page, name: str, tall: int = WIDE[1]) -> AsyncIterator[str]:
    """Light, dark and narrow; each is taken when it is asked for the next."""
    for word, size, scheme in (
        ("light", (WIDE[0], tall), "light"), ("dark", (WIDE[0], tall), "dark"), ("narrow", NARROW, "light"),
    ):  # fmt: skip
        await page.scheme(scheme)
        await page.size(*size)
        await asyncio.sleep(0.6)
        yield word
        keep(PICTURES / f"{name}-{word}.png", await page.picture())


def keep(file: Path, picture: bytes) -> None:
    """With as few colours as it needs."""
    few = ("pngquant", "--strip", "64", "-")
    made = subprocess.run(few, input=picture, check=True, capture_output=True, timeout=60).stdout
    assert len(made) < MOST_BYTES, (file.name, len(made))
    file.write_bytes(made)
    print(f"{file.name}: {len(made)} bytes")


async def draw(page: Page, scene: Scene) -> None:
    """All pages."""
    final = "[...document.querySelectorAll('.calls tr.final')][0]"
    await page.until(f"Boolean({final})", 60)
    async for _ in shots(page, "overview"):
        pass
    talking = "[...document.querySelectorAll('.calls tr')].find((one) => one.innerText.includes('+442079460123'))"
    call = await page.run(f"{talking}.querySelector('a').hash")
    for name, place, sign, tall in (
        ("call", call, ".story li:nth-child(4)", WIDE[1]),
        ("tenant", "#/tenant/acme", ".plot .line", TALL),
        ("tenants", "#/tenants", "tbody tr", WIDE[1]),
    ):
        await page.size(*WIDE)
        await page.go(f"{scene.url}/{place}")
        await page.until(f"Boolean(document.querySelector('{sign}'))")
        async for _ in shots(page, name, tall):
            pass


async def main() -> None:
    """Draw them."""
    install("pngquant")
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        scene = Scene(Path(name) / "scene", quantum_seconds=60, price_parts=5, limits=LIMITS)
        async with scene, Browser(Path(name)) as browser, browser.page() as page:
            await remember(scene)
            await page.enter(scene.url, TOKENS[Role.OPERATE])
            await play(scene)
            await draw(page, scene)


if __name__ == "__main__":
    asyncio.run(main())
