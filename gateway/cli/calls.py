"""``callgate calls``: what is live, by the books."""

import json
from dataclasses import asdict

from rich.table import Table

from gateway import borrow
from gateway.cli.common import CONFIG, AsJson, ConfigDir, OfTenants, load_settings, tenant_named
from gateway.cli.errand import run
from gateway.cli.tables import right, show
from gateway.core.facts import Direction
from gateway.ports import StoredCall
from rating import format_amount


def calls(tenants: OfTenants = None, config: ConfigDir = CONFIG, as_json: AsJson = False) -> None:
    """Show the calls whose books are open: what each holds and was granted."""
    settings = load_settings(config)
    names = [tenant_named(settings, name).tenant_id for name in tenants or sorted(settings.tenants)]

    async def read() -> list[StoredCall]:
        async with borrow.borrowed_ledger(settings) as ledger:
            return [call for tenant in names for call in await ledger.live_calls(tenant)]

    rows = run(read())
    if as_json:
        print(json.dumps([{**asdict(row), "meta": json.loads(row.meta)} for row in rows]))
        return
    if not rows:
        print("No call is live.")
        return
    table = Table(
        "tenant", "call", "state", "direction", "number", *[right(name) for name in ("granted", "charged", "held")]
    )
    for row in rows:
        memo = json.loads(row.meta)
        table.add_row(
            row.key.tenant,
            row.key.call_id,
            row.state,
            memo.get("direction", Direction.OUTBOUND),
            memo.get("e164", ""),
            f"{row.granted_seconds} s",
            format_amount(row.charged_micros),
            format_amount(row.held_micros),
        )
    show(table)
