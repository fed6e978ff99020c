"""``python -m tests.docs.loss FOLDER``: a machine with money on it is backed up, lost, and restored as the page says.

It runs in a mount namespace that whoever starts it makes; its /etc and /var/lib are copies (`tests.docs.stage`).
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from gateway.adapters.redis.embedded import EmbeddedServer
from gateway.adapters.redis.ledger import RedisLedger
from tests.docs.blocks import blocks_of
from tests.docs.reader import Reader
from tests.docs.stage import own_machine
from tests.docs.terminal import Terminal
from tests.lab.build import REPOSITORY
from tests.ledger import example
from tests.ledger.bank import Bank

PAGE = REPOSITORY / "gateway/docs/pages/how-to/backup.md"
CONFIG, STATE = Path("/etc/callgate"), Path("/var/lib/callgate")
CALLGATE = Path(sys.executable).parent
TARIFF = "prefix,destination,connect_fee,rate_per_minute,initial_increment,increment\n44,United Kingdom,0,0.06,60,60\n"
TENANT_TOML = """currency = "EUR"
tariff = "euro.csv"
[numbers]
home_country = "US"
international_prefixes = ["011"]
trunk_prefix = "1"
"""


def write_config(config: Path, state: Path) -> None:
    """The examples, with one tenant, and an embedded ledger in that folder."""
    shutil.copytree(REPOSITORY / "config", config)
    for file in (config / "tenants").iterdir():
        file.unlink()
    (config / f"tenants/{example.TENANT}.toml").write_text(TENANT_TOML)
    (config / "tariffs/euro.csv").write_text(TARIFF)
    (config / "tariffs/euro.toml").write_text('currency = "EUR"\n')
    (config / "gateway.toml").write_text(f'state_dir = "{state}"\n[[switch]]\nname = "pbx"\nsecret = "x"\n')


async def fill(state: Path, stored: example.Books | None = None) -> None:
    """Books with money and a call in each state, or those that are given; then the server stops."""
    async with EmbeddedServer(state / "redis") as server:
        ledger = RedisLedger(server.url, sync=False)
        await ledger.connect()
        if stored is None:
            await example.write_books(Bank(ledger, example.TENANT))
        else:
            await example.restore(ledger.pipe, stored)
        await ledger.close()


def told(*words: str) -> list[dict[str, object]]:
    """What a command of callgate says as JSON."""
    command = [str(CALLGATE / "callgate"), *words, "--json", "--config", str(CONFIG)]
    return list(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))


def main() -> int:
    """Fill, back up, lose, restore, compare; exit code 0, or an exception that says what is wrong."""
    folder = Path(sys.argv[1])
    folder.mkdir()
    own_machine(folder)
    STATE.mkdir()
    write_config(CONFIG, STATE)
    asyncio.run(fill(STATE))
    before = told("balance"), told("calls")
    assert before[0][0]["balance_micros"], before
    assert len(before[1]) > 5, before
    path = f"{CALLGATE}:{os.environ['PATH']}"
    reader = Reader(lambda: Terminal(folder, PATH=path, CALLGATE_CONFIG=str(CONFIG)))
    blocks = blocks_of(PAGE)
    with closing(reader):
        reader.read(PAGE, [block for block in blocks if block.section == "Back up"])
        shutil.rmtree(CONFIG)
        shutil.rmtree(STATE)
        reader.read(PAGE, [block for block in blocks if block.section == "Restore"])
    assert (told("balance"), told("calls")) == before
    print("\n".join(reader.done))
    return 0


if __name__ == "__main__":
    sys.exit(main())
