"""From an event to a mail: subject, plain text and HTML, all from the same words and figures.

Nothing of an event reaches a header or the HTML but through ``one_line`` and ``html.escape``.
"""

import html
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from typing import Final

from gateway.adapters.mail.figures import Figures, one_line
from gateway.adapters.mail.words import Catalogue, case_of, catalogue, layout
from gateway.core.notices import Notice, notice_of
from gateway.core.tenant import Tenant
from gateway.ports import OutboxEvent, WaitingMail

_UNKNOWN: Final = "?"
_TEXT_CELL: Final = "  {label:<{width}}  {value}"
_HTML_ROW: Final = (
    '<tr class="line" style="border-bottom:1px solid #dfe3e8">'
    '<th class="label" scope="row" style="text-align:left;vertical-align:top;font-weight:normal;color:#667079;'
    'padding:8px 16px 8px 0">{label}</th>'
    '<td class="value" style="text-align:right;vertical-align:top;font-weight:{weight};overflow-wrap:anywhere;'
    'padding:8px 0">{value}</td></tr>'
)
_FIRST, _OTHER = "bold", "normal"  # the figure that matters most is named first
_HTML_HELD_BACK: Final = '<p style="margin:16px 0 0">{}</p>'
_GOOD, _SOON, _BAD, _PLAIN = "#2e8b57", "#d48806", "#c8372d", "#4a6fa5"
_COLOURS: Final[Mapping[Notice | None, str]] = {
    Notice.RECHARGE_SUCCEEDED: _GOOD,
    Notice.BALANCE_LOW: _SOON,
    Notice.FUNDS_EXPIRING: _SOON,
    Notice.LIMIT_NEAR: _SOON,
    None: _PLAIN,
}


@dataclass(frozen=True, slots=True)
class Letter:
    """What a reader gets."""

    language: str
    subject: str
    text: str
    html: str


class _Known(dict[str, str]):
    """What words name and an event does not have is a question mark: a notice without it is better than none."""

    def __missing__(self, name: str) -> str:
        return _UNKNOWN


def write(tenant: Tenant, event: OutboxEvent, held_back: int = 0) -> Letter:
    """The notice of an event, for this tenant.

    Raises KeyError for an event that no notice is for, ValueError for a figure that is none.
    """
    book, language = catalogue(tenant.notices.language), tenant.notices.language
    figures = Figures(language, tenant.zone, tenant.currency)
    words = book.words(case_of(event.type, event.facts))
    known = _known(book, figures, tenant, event)
    subject = one_line(words.subject.substitute(known))
    rows = [(book.labels[name], known[name]) for name in words.figures if name in known]
    rows.append((book.phrase("frame", "at").template, figures.time(event.at_ms)))
    parts = {
        "lead": words.lead.substitute(known),
        "advice": words.advice.substitute(known),
        "footer": book.phrase("frame", "footer").substitute(known),
    }
    note = book.phrase("frame", "held_back").substitute(held_back=str(held_back)) if held_back else ""
    colour = _COLOURS.get(notice_of(event.type, event.facts), _BAD)
    return Letter(language, subject, _text(parts, rows, note), _html(language, subject, colour, parts, rows, note))


def _known(book: Catalogue, figures: Figures, tenant: Tenant, event: OutboxEvent) -> _Known:
    known = _Known(figures.all_of(event.facts))
    known |= {"tenant": tenant.tenant_id, "event": one_line(event.event_id)}
    known["why"] = book.phrase("why", known.get("reason", "")).substitute(known)
    if "reason" in known:
        known["reason"] = book.phrase("reasons", known["reason"]).substitute(known) or known["reason"]
    kind, _, name = known.get("target", "").partition(":")
    if kind:
        target = book.phrase("targets", kind)
        known["target"] = target.substitute(known, name=name) if target.template else known["target"]
    if "guard" in known:
        known["guard"] = book.phrase("guards", known["guard"], otherwise="other").substitute(known)
    return known


def _text(parts: Mapping[str, str], rows: list[tuple[str, str]], note: str) -> str:
    width = max(len(label) for label, _ in rows)
    table = "\n".join(_TEXT_CELL.format(label=label, value=value, width=width) for label, value in rows)
    return layout("notice.txt").substitute(parts, rows=table, held_back=f"\n{note}\n" if note else "")


def _html(
    language: str, subject: str, colour: str, parts: Mapping[str, str], rows: list[tuple[str, str]], note: str
) -> str:
    safe = {name: html.escape(text) for name, text in parts.items()}
    weights = (_FIRST, *[_OTHER] * len(rows))
    table = "\n".join(
        _HTML_ROW.format(label=html.escape(label), value=html.escape(value), weight=weight)
        for (label, value), weight in zip(rows, weights, strict=False)
    )
    return layout("notice.html").substitute(
        safe,
        language=html.escape(language),
        subject=html.escape(subject),
        colour=colour,
        rows=table,
        held_back=_HTML_HELD_BACK.format(html.escape(note)) if note else "",
    )


def message(letter: Letter, sender: str, mail: WaitingMail) -> EmailMessage:
    """The mail of a letter. Raises ValueError where a header would hold a line end: such a mail is never sent.

    Its id is the same at each attempt. It says that a program wrote it (RFC 3834), so that no other program answers.
    """
    made = EmailMessage(policy=SMTP)
    made["From"] = f"callgate <{sender}>"
    made["To"] = mail.to
    made["Subject"] = letter.subject
    made["Date"] = format_datetime(datetime.fromtimestamp(mail.event.at_ms // 1000, UTC))
    made["Message-ID"] = f"<{mail.entry_id}.{mail.event.event_id}@{sender.rpartition('@')[2]}>"
    made["Auto-Submitted"] = "auto-generated"
    made.set_content(letter.text, cte="quoted-printable")  # not every server takes 8 bits
    made.add_alternative(letter.html, subtype="html", cte="quoted-printable")
    made["Content-Language"] = (
        letter.language
    )  # last: a Content- header that was there before would go to the first part
    return made
