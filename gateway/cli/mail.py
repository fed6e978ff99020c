"""``callgate mail-test``: whether notices by e-mail arrive, and how they read."""

import json
import time
from enum import StrEnum
from typing import Annotated

import typer

from gateway.adapters.mail.examples import EXAMPLES, example
from gateway.cli.common import CONFIG, AsJson, ConfigDir, fail, load_settings, tenant_named
from gateway.cli.errand import run
from gateway.core.tenant import Tenant
from gateway.ports import OutboxEvent, Posted, WaitingMail
from gateway.settings import MailSettings


class Form(StrEnum):
    """How a notice is printed."""

    TEXT = "text"
    HTML = "html"


def mail_test(
    tenant: str,
    notice: Annotated[str, typer.Option(help=f"What is sent, with made-up figures: {', '.join(EXAMPLES)}.")] = "test",
    form: Annotated[Form | None, typer.Option("--print", help="Print it so; nothing is sent.")] = None,
    config: ConfigDir = CONFIG,
    as_json: AsJson = False,
) -> None:
    """Send a notice to each address of a tenant, now, once; the books are not asked."""
    settings = load_settings(config)
    owner = tenant_named(settings, tenant)
    if notice not in EXAMPLES:
        fail(f"{notice[:40]!a} is no notice; write one of {', '.join(EXAMPLES)}.")
    event = example(notice, owner.tenant_id, owner.currency, int(time.time() * 1000))
    if form is not None:
        from gateway.adapters.mail.letter import write  # noqa: PLC0415 - other commands need not wait for it

        letter = write(owner, event)
        print(letter.html if form is Form.HTML else f"{letter.subject}\n\n{letter.text}", end="")
        return
    if settings.mail is None:
        fail("There is no [mail] in gateway.toml; write host and sender there.")
    if not owner.notices.addresses:
        fail(f"{tenant} has no [notices]; write addresses into its file.")
    _tell(run(_send(settings.mail, owner, event)), as_json=as_json)


async def _send(mail: MailSettings, owner: Tenant, event: OutboxEvent) -> list[tuple[str, Posted, str]]:
    from gateway import make  # noqa: PLC0415 - likewise

    postman = make.postman(mail)
    found = []
    for address in owner.notices.addresses:
        outcome, said = await postman.attempt(owner, WaitingMail(event.entry_id, address, event))
        found.append((address, outcome, said))
    return found


def _tell(found: list[tuple[str, Posted, str]], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps([{"to": to, "outcome": outcome, "said": said} for to, outcome, said in found]))
    else:
        for to, outcome, said in found:
            print(f"{to}: {outcome}{f' ({said})' if said else ''}")
    if any(outcome is not Posted.SENT for _, outcome, _ in found):
        raise typer.Exit(1)
