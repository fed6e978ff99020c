"""How answers are made: an amount stands twice, and so does a time, as in webhooks (docs/pages/how-to/events.md).

``balance`` is a string in units of the currency, ``balance_micros`` the same in micro-units; ``at`` is ISO 8601 in UTC,
``at_ms`` the same in epoch milliseconds.
"""

from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, create_model

from rating import format_amount

Units = Annotated[str, Field(pattern=r"^-?[0-9]+\.[0-9]{2,6}$", examples=["25.00"])]
Iso = Annotated[str, Field(json_schema_extra={"format": "date-time"}, examples=["2027-12-31T23:00:00.000Z"])]


class Answer(BaseModel):
    """What all answers have in common."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    amounts: ClassVar[frozenset[str]] = frozenset()
    times: ClassVar[frozenset[str]] = frozenset()

    @classmethod
    def of(cls, **facts: Any) -> Self:
        """Make one of plain facts: amounts in micro-units, times in epoch milliseconds; either may be None."""
        told: dict[str, Any] = {}
        for name, value in facts.items():
            if name in cls.amounts:
                told |= {name: None if value is None else format_amount(value), f"{name}_micros": value}
            elif name in cls.times:
                told |= {name: None if value is None else iso(value), f"{name}_ms": value}
            else:
                told[name] = value
        return cls(**told)


def answer(name: str, about: str, /, amounts: str = "", times: str = "", **fields: Any) -> type[Answer]:
    """A kind of answer. ``amounts`` and ``times`` are names, each followed by ``?`` where it may be null."""
    wanted: dict[str, Any] = {field: (kind, ...) for field, kind in fields.items()}
    for words, text, twin, number in ((amounts, Units, "micros", int), (times, Iso, "ms", int)):
        for word in words.split():
            key, may_lack = word.removesuffix("?"), word.endswith("?")
            kinds = (text | None, number | None) if may_lack else (text, number)
            wanted |= {key: (kinds[0], ...), f"{key}_{twin}": (kinds[1], ...)}
    made = create_model(name, __base__=Answer, __doc__=about, **wanted)
    made.amounts = frozenset(amounts.replace("?", "").split())
    made.times = frozenset(times.replace("?", "").split())
    return made


def page(name: str, item: type[Answer]) -> type[Answer]:
    """A page of a list."""
    following = Annotated[
        str | None, Field(description="Ask for the next page with it, until it is null. Pages may be short, or empty.")
    ]
    items: Any = list[item]  # type: ignore[valid-type]
    return answer(name, "A page of a list.", items=items, next_cursor=following)


def iso(at_ms: int) -> str:
    """ISO 8601 in UTC, to the millisecond."""
    seconds, ms = divmod(at_ms, 1000)
    at = datetime.fromtimestamp(seconds, UTC).replace(microsecond=ms * 1000)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
