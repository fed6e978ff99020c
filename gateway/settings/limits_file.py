"""The shapes of limits and guards in a tenant's or a plan's file."""

from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field, PlainSerializer, StrictInt, WithJsonSchema

from gateway.core.facts import Direction
from gateway.core.guards import Target
from gateway.core.limits import Per
from gateway.settings.sections import (
    MOST_ITEMS,
    Amount,
    Classes,
    Country,
    Name,
    Prefix,
    Section,
    TariffName,
    key,
    wrong,
)
from rating import AmountError, format_rate, parse_rate

MOST_SECONDS = 31 * 86_400

# A log of so many instants is kept for each count.
Count = Annotated[StrictInt, Field(ge=1, le=10_000)]
Minutes = Annotated[StrictInt, Field(ge=1, le=10_000_000)]
Seconds = Annotated[StrictInt, Field(ge=1, le=MOST_SECONDS)]


def _rate(value: object) -> Fraction:
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
        raise wrong("this is no rate", 'write units of the currency, such as 0.50 or "0.50"')
    try:
        return parse_rate(str(value))
    except AmountError as error:
        what, _, remedy = str(error).rstrip(".").partition("; ")
        raise wrong(what, remedy) from error


def _part(value: object) -> Fraction:
    part = _rate(value)
    if part > 1:
        raise wrong("this is more than the whole", "write 0 to 1, such as 0.25")
    return part


_AS_TEXT: Final = PlainSerializer(format_rate, when_used="json")
_SCHEMA: Final = WithJsonSchema({"anyOf": [{"type": "number"}, {"type": "string"}]})
Rate = Annotated[Fraction, BeforeValidator(_rate), _AS_TEXT, _SCHEMA]
Part = Annotated[Fraction, BeforeValidator(_part), _AS_TEXT, _SCHEMA]


def _bound(description: str, example: str) -> Any:
    return key(description, example, None)


class LimitSection(Section):
    """One [[limit]]: whose calls it is for, and at most how many, how long, how dear. A bound left out is none."""

    name: Name = key("letters, digits, dots, dashes; a tenant's limit goes before the plan's of the same name", '"all"')
    classes: Classes = key(
        "classes of the calls that it is for; with no prefixes either: all", '["premium"]', frozenset()
    )
    prefixes: tuple[Prefix, ...] = key(
        "prefixes of E.164 numbers that it is for, without their +", '["53", "252"]', (), max_length=MOST_ITEMS
    )
    prefixes_file: TariffName | None = key(
        "a file of such prefixes, one on a line, in the lists' folder", '"high-risk.csv"', None
    )
    direction: Direction | None = key(
        "outbound or inbound: the calls that it is for; left out: both", '"inbound"', None
    )
    per: Per = key("tenant, cli, class or prefix: whose calls are counted together", '"cli"', Per.TENANT)
    concurrent_calls: Count | None = _bound("how many calls at once", "10")
    calls_per_second: Count | None = _bound("how many calls are begun in any second", "2")
    calls_per_minute: Count | None = _bound("how many calls are begun in any minute", "30")
    spend_per_call: Amount | None = _bound("what one call may cost", '"20.00"')
    spend_per_hour: Amount | None = _bound("what an hour of the tenant's clock may cost", '"25.00"')
    spend_per_day: Amount | None = _bound("what a day may cost", '"50.00"')
    spend_per_month: Amount | None = _bound("what a month may cost", '"500.00"')
    minutes_per_day: Annotated[StrictInt, Field(ge=1, le=10_000_000)] | None = _bound(
        "minutes a day, of all calls", "600"
    )
    call_seconds: Seconds | None = _bound("how long one call may last", "14400")
    rate_per_minute: Rate | None = _bound("what a minute may cost, the connect fee apart", '"2.00"')
    hours: tuple[str, ...] = key(
        "windows of the tenant's week in which the limit holds as written; none: always",
        '["Mon-Fri 08:00-18:00"]',
        (),
        max_length=100,
    )
    outside_hours: Part = key("the part of it that holds outside of them, 0 to 1; 0 refuses", '"0.25"', Fraction(0))


class Then(StrEnum):
    """What a guard does when it trips."""

    OFF = "off"
    TELL = "tell"
    PAUSE = "pause"


class GuardSection(Section):
    """One guard: how often in which time, and what then."""

    count: Annotated[StrictInt, Field(ge=2, le=1000)] | None = key("how often, 2 to 1000", "10", None)
    window_seconds: Seconds | None = key("within how many seconds", "60", None)
    then: Then = key("off, tell (an event) or pause (and refuse for a time)", '"pause"', Then.PAUSE)
    pauses: Target = key("what is paused: cli, prefix or tenant", '"cli"', Target.CLI)
    pause_seconds: Annotated[StrictInt, Field(ge=0, le=MOST_SECONDS)] = key(
        "for how many seconds; 0: until a person lifts it", "300", 300
    )


_WATCHED = frozenset({"international", "premium", "satellite"})


class WatchingSection(GuardSection):
    """A guard that looks at some calls only: at home, short calls and numbers in a row are no sign of fraud."""

    classes: Classes = key("classes of the calls that it looks at", '["international"]', _WATCHED)
    prefixes: tuple[Prefix, ...] = key("prefixes that it looks at besides", '["53"]', (), max_length=MOST_ITEMS)
    pauses: Target = key("what is paused: cli, prefix or tenant", '"prefix"', Target.PREFIX)


class ShortCallsSection(WatchingSection):
    """The guard that counts short calls to one prefix."""

    shorter_than_seconds: Annotated[StrictInt, Field(ge=2, le=3600)] = key("a call is short below this", "10", 10)


class SequenceSection(WatchingSection):
    """The guard that looks for numbers dialled in a row."""


class NewCountryThen(StrEnum):
    """What happens at the first call to a country."""

    OFF = "off"
    TELL = "tell"
    HOLD = "hold"


class NewCountrySection(Section):
    """The guard that knows to which countries a tenant has called."""

    then: NewCountryThen = key("off, tell (an event) or hold (refuse until a person allows it)", '"tell"')
    known: tuple[Country, ...] = key(
        "countries that are not new, by ISO 3166", '["GB", "DE"]', (), max_length=MOST_ITEMS
    )


class GuardsSection(Section):
    """[guards]: each one's own section goes before the plan's."""

    refusals: GuardSection | None = key("calls that limits or bars refused", "[guards.refusals]", None)
    short_calls: ShortCallsSection | None = key("short calls to one prefix", "[guards.short_calls]", None)
    sequence: SequenceSection | None = key("numbers in a row", "[guards.sequence]", None)
    new_country: NewCountrySection | None = key("first calls to a country", "[guards.new_country]", None)
