"""Rows of Master.csv as cdr_csv writes them: texts in quotes, quotes within doubled, whole numbers bare."""

NAMES = (
    "accountcode", "src", "dst", "dcontext", "clid", "channel", "dstchannel", "lastapp", "lastdata", "start",
    "answer", "end", "duration", "billsec", "disposition", "amaflags", "uniqueid", "userfield",
)  # fmt: skip
ANSWERED: dict[str, str | int] = {
    "accountcode": "acme", "src": "12125550101", "dst": "011442079460000", "dcontext": "phones",
    "clid": '"Acme" <12125550101>', "channel": "PJSIP/acme-00000000", "dstchannel": "PJSIP/trunk-00000001",
    "lastapp": "Dial", "lastdata": "PJSIP/442079460000@trunk,60,iL(10000)", "start": "2026-11-22 23:24:47",
    "answer": "2026-11-22 23:24:47", "end": "2026-11-22 23:24:50", "duration": 2, "billsec": 2,
    "disposition": "ANSWERED", "amaflags": "DOCUMENTATION", "uniqueid": "1795389887.0", "userfield": "",
}  # fmt: skip
ANSWER_SECONDS = 1795389887


def quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def row(columns: int = 18, /, **changes: str | int) -> bytes:
    """A row of so many columns, a line break at its end."""
    values = {**ANSWERED, **changes}
    cells = []
    for name in NAMES[:columns]:
        value = values[name]
        is_unknown_time = name in {"start", "answer", "end"} and not value
        cells.append("" if is_unknown_time else str(value) if isinstance(value, int) else quoted(value))
    return ",".join(cells).encode("utf-8", "surrogateescape") + b"\n"
