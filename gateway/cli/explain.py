"""``callgate explain``: why a call was refused, or how its charge came about."""

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from gateway import borrow
from gateway.adapters.archive import read_archive
from gateway.cli.common import CONFIG, AsJson, ConfigDir, fail, journal_folder, load_settings, tenant_named
from gateway.cli.errand import run
from gateway.cli.tables import right, show
from gateway.core.facts import Direction
from gateway.core.journal import Entry
from gateway.core.reasons import Reason
from gateway.core.tenant import Tenant
from gateway.ports import BY_HAND, Refusal
from gateway.service.explain import Story, stories_of
from gateway.settings import Settings
from rating import format_amount

_ASKED = ("number", "cli", "e164", "class", "at_ms", "direction")
_TABLE = "config/asterisk/REASONS.md says what each reason means, and what to do"


def explain(
    call: Annotated[str, typer.Argument(help="A call's id (switch/uniqueid/nonce), or the channel's Uniqueid.")],
    tenant: Annotated[str | None, typer.Option(help="Whose call it was; else all tenants are searched.")] = None,
    journal: Annotated[
        Path | None, typer.Option(help="The archive's folder, where it is not that of the config.")
    ] = None,
    config: ConfigDir = CONFIG,
    as_json: AsJson = False,
) -> None:
    """Show what was decided about a call, on what figures, and each movement of its money."""
    settings = load_settings(config)
    names = sorted(settings.tenants) if tenant is None else [tenant_named(settings, tenant).tenant_id]
    folder = journal_folder(settings, journal)
    stories = run(_stories(settings, names, folder, call))
    if not stories:
        fail(f"Nothing is known of {call!a}: it never asked, or it was refused too long ago. Its log lines may tell.")
    if as_json:
        print(json.dumps([_facts(story) for story in stories]))
        return
    for story in stories:
        _tell(story, settings.tenants[story.tenant])


async def _stories(settings: Settings, names: list[str], folder: Path, call: str) -> list[Story]:
    async with borrow.borrowed_ledger(settings) as ledger:
        return await stories_of(ledger, lambda name, n: read_archive(folder / name, n), names, call)


def asked_of(story: Story) -> dict[str, Any]:
    """Number, caller and class as the ask said them; empty where nobody kept them."""
    noted = next((entry.note for entry in story.entries if entry.type == "reserve"), "")
    texts = [noted]
    texts += [story.refusal.meta] if story.refusal else []
    texts += [story.stored.meta] if story.stored else []
    for text in texts:
        with suppress(ValueError):
            facts = json.loads(text)
            if isinstance(facts, dict):
                return {name: facts[name] for name in _ASKED if name in facts}
    return {}


def _facts(story: Story) -> dict[str, Any]:
    return {
        "tenant": story.tenant,
        "call": story.call_id,
        "asked": asked_of(story),
        "refusal": None if story.refusal is None else _refusal_facts(story.refusal),
        "state": None if story.stored is None else story.stored.state,
        "entries": [asdict(entry) for entry in story.entries],
    }


def _refusal_facts(refusal: Refusal) -> dict[str, Any]:
    return {name: value for name, value in asdict(refusal).items() if name not in {"call_id", "meta"}}


# ------------------------------------------------------------------------------------------------ for people


def _tell(story: Story, owner: Tenant) -> None:
    asked = asked_of(story)
    print(f"call {story.call_id} of {story.tenant}")
    if asked:
        verb = "came in on" if asked.get("direction") == Direction.INBOUND else "dialled"
        words = [f"{asked.get('cli') or 'an unknown caller'} {verb} {asked.get('number')}"]
        words += [f"{asked['e164']}, {asked['class']}"] if asked.get("e164") else []
        print("  " + ": ".join(words))
    if story.refusal is not None:
        print(f"  {_when(story.refusal.at_ms, owner)} refused, {why(story.refusal, owner)} ({_TABLE})")
    if story.entries:
        show(_movements(story.entries, owner))
    for sentence in _outcome(story, owner, asked):
        print(f"  {sentence}")


def why(refusal: Refusal, owner: Tenant) -> str:
    """The reason and its figures, in words."""
    return ": ".join(filter(None, (refusal.reason, figures(refusal, owner))))


def figures(refusal: Refusal, owner: Tenant) -> str:
    """Which limit or guard refused, and on what figures; empty where the reason says it all."""
    limit, used, most = refusal.limit, refusal.used, refusal.most
    if refusal.reason in {Reason.PAUSED, Reason.QUARANTINED}:
        who = "by hand" if limit == BY_HAND else f"by the guard {limit}"
        if refusal.reason == Reason.QUARANTINED:
            return f"{who}, until a person lifts it"
        return f"{who}, until {_when(most, owner)}" if most else who
    if not most:
        return limit
    if refusal.reason == Reason.SPEND_LIMIT:
        return f"limit {limit}, {format_amount(used)} of {format_amount(most, owner.currency)} in use"
    return f"limit {limit}, {used} of {most}{' s' if refusal.reason == Reason.MINUTES_LIMIT else ''} in use"


def _movements(entries: tuple[Entry, ...], owner: Tenant) -> Table:
    table = Table(
        "time", "step", right("held"), right("charged"), right("adjusted"), right("included s"), "lot", "note"
    )
    for entry in entries:
        name = entry.type if entry.step in {None, 0} else f"{entry.type} {entry.step}"
        cells = [format_amount(micros) if micros else "" for micros in (entry.held, entry.revenue, entry.adjustment)]
        note = "" if entry.type == "reserve" else entry.note
        lot = "" if entry.lot is None else "credit limit" if entry.lot == 0 else str(entry.lot)
        table.add_row(_when(entry.at_ms, owner), name, *cells, str(entry.included or ""), lot, note)
    return table


def _outcome(story: Story, owner: Tenant, asked: dict[str, Any]) -> Iterator[str]:
    closing = next((entry for entry in reversed(story.entries) if entry.total is not None), None)
    if story.stored is not None and story.stored.state != "estimated":
        held = format_amount(story.stored.held_micros, owner.currency)
        yield f"it is {story.stored.state}: {story.stored.granted_seconds} s granted, {held} held now"
    elif closing is not None:
        charge = format_amount(closing.total or 0, owner.currency)
        word = "estimated at" if closing.type == "estimate" else "charged"
        yield f"{word} {charge} for {closing.note or 0} s"
        if asked.get("number"):
            asked_at = datetime.fromtimestamp(asked["at_ms"] / 1000, UTC).astimezone(owner.zone)
            when = asked_at.isoformat(timespec="seconds")
            number = asked["number"] + (" --inbound" if asked.get("direction") == Direction.INBOUND else "")
            told = f"--tenant {story.tenant} --seconds {closing.note or 0} --at {when}"
            yield f"block by block: callgate quote {number} {told}"
    elif story.entries and story.entries[-1].type == "release":
        yield "nobody answered: nothing was charged"


def _when(at_ms: int, owner: Tenant) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).astimezone(owner.zone).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
