"""The classes of calls: what a plan meters, bars or includes.

Rules of this file:

- Where a number plan cannot tell a fixed line from a mobile (all of the US, Canada and more), it is fixed.
- A number abroad that is in no plan is mobile, the dearer of the two: what nobody knows is no landline.
- Personal numbers (UK 070, German 0700, +1 500) lead anywhere, at a price set by where; pagers likewise. They
  are premium, so that a plan which bars or meters premium numbers has them too.
- A foreign toll-free number costs what a call abroad costs; toll-free are the home country's and +800.
- Calling codes of no country (ITU-T E.164.1) have a class each; those that are nothing else are satellite.
"""

from __future__ import annotations

from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from rating.number_types import NumberType

if TYPE_CHECKING:
    from collections.abc import Mapping


class CallClass(StrEnum):
    """What kind of call it is, as tenants' plans name it."""

    EMERGENCY = "emergency"
    INTERNAL = "internal"
    TOLL_FREE = "toll_free"
    DOMESTIC_FIXED = "domestic_fixed"
    DOMESTIC_MOBILE = "domestic_mobile"
    INTERNATIONAL_FIXED = "international_fixed"
    INTERNATIONAL_MOBILE = "international_mobile"
    SHARED_COST = "shared_cost"
    PREMIUM = "premium"
    SATELLITE = "satellite"
    SHORT_CODE = "short_code"


DOMESTIC_CLASSES: Final = frozenset({CallClass.DOMESTIC_FIXED, CallClass.DOMESTIC_MOBILE})
INTERNATIONAL_CLASSES: Final = frozenset({CallClass.INTERNATIONAL_FIXED, CallClass.INTERNATIONAL_MOBILE})

CLASSES_BY_WORD: Final[Mapping[str, frozenset[CallClass]]] = MappingProxyType(
    {each.value: frozenset({each}) for each in CallClass}
    | {"domestic": DOMESTIC_CLASSES, "international": INTERNATIONAL_CLASSES}
)
"""What an admin may write where classes are meant: each by its name, and `domestic` and `international` for both."""

_DEAREST_LAST: Final = (
    CallClass.DOMESTIC_FIXED,
    CallClass.DOMESTIC_MOBILE,
    CallClass.TOLL_FREE,
    CallClass.SHARED_COST,
    CallClass.INTERNATIONAL_FIXED,
    CallClass.INTERNATIONAL_MOBILE,
    CallClass.PREMIUM,
    CallClass.SATELLITE,
)


def dearer_class(one: CallClass, other: CallClass) -> CallClass:
    """Return the dearer of two classes of E.164 numbers. Raises ValueError for a class that has none."""
    return max(one, other, key=_DEAREST_LAST.index)


CLASS_AT_HOME: Final[Mapping[NumberType, CallClass]] = MappingProxyType(
    {
        NumberType.PREMIUM: CallClass.PREMIUM,
        NumberType.PERSONAL: CallClass.PREMIUM,
        NumberType.SHARED_COST: CallClass.SHARED_COST,
        NumberType.MOBILE: CallClass.DOMESTIC_MOBILE,
        NumberType.FIXED: CallClass.DOMESTIC_FIXED,
        NumberType.TOLL_FREE: CallClass.TOLL_FREE,
    }
)
CLASS_ABROAD: Final[Mapping[NumberType | None, CallClass]] = MappingProxyType(
    {
        NumberType.PREMIUM: CallClass.PREMIUM,
        NumberType.PERSONAL: CallClass.PREMIUM,
        NumberType.SHARED_COST: CallClass.SHARED_COST,
        NumberType.MOBILE: CallClass.INTERNATIONAL_MOBILE,
        NumberType.FIXED: CallClass.INTERNATIONAL_FIXED,
        NumberType.TOLL_FREE: CallClass.INTERNATIONAL_FIXED,
        None: CallClass.INTERNATIONAL_MOBILE,
    }
)
CLASS_OF_SHARED_CODE: Final[Mapping[int, CallClass]] = MappingProxyType(
    {
        800: CallClass.TOLL_FREE,  # international freephone (ITU-T E.152)
        808: CallClass.SHARED_COST,  # international shared cost (E.155)
        870: CallClass.SATELLITE,  # Inmarsat
        878: CallClass.SATELLITE,  # universal personal numbers (E.168), no satellites, but dear like them
        881: CallClass.SATELLITE,  # mobile satellite systems
        882: CallClass.SATELLITE,  # international networks, satellite carriers among them
        883: CallClass.SATELLITE,  # the same
        888: CallClass.SATELLITE,  # disaster relief
        979: CallClass.PREMIUM,  # international premium rate (E.169.2)
    }
)
