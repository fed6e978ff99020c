"""One PBX."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from gateway.core.facts import ChannelStatus

if TYPE_CHECKING:
    import asyncio


class SwitchUnavailable(Exception):  # noqa: N818
    """The switch could not be asked, or did not answer in time. Nothing is known of the action's fate."""


class VerdictLate(Exception):  # noqa: N818
    """The verdict's deadline passed before it could be written: it was not sent."""


class ListNotWhole(Exception):  # noqa: N818
    """A listing was cut short, forged, or did not count up. It proves nothing."""


class Switch(Protocol):
    """One PBX. Facts arrive by the callback given at construction, in order; actions go out here."""

    @property
    def name(self) -> str:
        """The switch's name in config."""
        ...

    def now_ms(self) -> int:
        """The PBX's clock, estimated from the Timestamp of its ping replies."""
        ...

    def write_verdict(self, uniqueid: str, verdict: str, deadline_ms: int) -> "asyncio.Future[None]":
        """Set the verdict and press the digit, at once. ``deadline_ms`` is PBX time.

        The future is done when the switch took both, or fails with SwitchUnavailable: then nothing is known of it.
        Raises VerdictLate, SwitchUnavailable: then nothing was written.
        """
        ...

    async def arm(self, leg: str, cut_at_ms: int) -> bool:
        """Make the PBX itself end the leg at that time of its own clock. False: there is no such channel."""
        ...

    async def warn(self, caller: str, sound: str) -> None:
        """Let the caller alone hear a sound file of the PBX, or a tone where none is named. Raises SwitchUnavailable.

        A PBX that was not prepared for it is told of once in the log.
        """
        ...

    async def hang_up(self, uniqueid: str, cause_q850: int) -> bool:
        """End a channel. False: there is no such channel."""
        ...

    async def status(self, uniqueid: str) -> ChannelStatus | None:
        """One channel; None when the PBX says that there is none. Raises SwitchUnavailable, ListNotWhole."""
        ...

    async def dialled(self, status: ChannelStatus) -> str:
        """The dial string of a leg that was not heard to be dialled; empty where it is not known, or where it came in.

        Raises SwitchUnavailable.
        """
        ...

    async def channels(self) -> Sequence[ChannelStatus]:
        """All channels. Raises SwitchUnavailable, ListNotWhole."""
        ...
