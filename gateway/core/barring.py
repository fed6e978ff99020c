"""Which calls a tenant may make at all, before anything is counted.

Rules:

- Emergency and internal calls always pass.
- Of the prefixes that a number begins with, the longest decides; one both barred and allowed is barred. Where no prefix
  is named, its class decides.
- Strict: what no allow list names is refused, and bar lists are not looked at.
"""

from dataclasses import dataclass

from gateway.core.reasons import Reason
from rating import CallClass, Destination, Prefixes

ALWAYS_PASS = frozenset({CallClass.EMERGENCY, CallClass.INTERNAL})


@dataclass(frozen=True, slots=True)
class Barring:
    """A tenant's bar lists and allow lists."""

    classes: frozenset[CallClass] = frozenset()
    prefixes: Prefixes = Prefixes()  # noqa: RUF009 - frozen
    allowed_classes: frozenset[CallClass] = frozenset()
    allowed_prefixes: Prefixes = Prefixes()  # noqa: RUF009 - frozen
    is_strict: bool = False

    def judge(self, destination: Destination) -> Reason | None:
        """Why a call is refused; None where it is not."""
        if destination.call_class in ALWAYS_PASS:
            return None
        allowed = self.allowed_prefixes.longest(destination.e164)
        if self.is_strict:
            is_allowed = bool(allowed) or destination.call_class in self.allowed_classes
            return None if is_allowed else Reason.BARRED
        barred = self.prefixes.longest(destination.e164)
        if barred or allowed:
            return Reason.BARRED_PREFIX if len(barred) >= len(allowed) else None
        return Reason.BARRED if destination.call_class in self.classes else None


NO_BARRING = Barring()
