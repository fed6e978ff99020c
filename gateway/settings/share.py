"""Which of several processes on one machine gates which switches, and what of the config is each one's own.

Rules (gateway/PROCESSES.md says why):

- The switches, sorted by name, are dealt out: process i of N has those at i, i + N, i + 2 N, ...
- Who gets which is said once, at the start of all of them, by name: one that begins anew later finds its own switches
  also where the config has others by then.
- A process listens PORT_STEP * i above the ports of the config; port 0 stays 0.
- It keeps what waits for the ledger in the folder ``queue_dir/i``, and is called NAME-i.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from gateway.settings.gateway_file import GatewayFile
    from gateway.settings.loader import RedisSettings, Settings
    from gateway.settings.reading import Document

MOST_PROCESSES: Final = 64
PORT_STEP: Final = 10  # the metrics and the API are neighbours: 9464 and 9465
_LAST_PORT: Final = 65_535
_LONGEST_NAME: Final = 64
_TEXT: Final = re.compile(r"(\d{1,2})/(\d{1,2}):([A-Za-z0-9._-]+(?:,[A-Za-z0-9._-]+)*)")


class ShareError(Exception):
    """The processes cannot be had so; the sentence says what to do."""


@dataclass(frozen=True, slots=True)
class Share:
    """Process ``number``, from 0, of ``of``; the names of its switches."""

    number: int
    of: int
    switches: tuple[str, ...]

    def __str__(self) -> str:
        """As ``read_share`` reads it: ``1/4:pbx2,pbx6``."""
        return f"{self.number}/{self.of}:{','.join(self.switches)}"

    def named(self, gateway: str) -> str:
        """The name of this process among all gateways; ``gateway``: that of the machine."""
        return f"{gateway}-{self.number}"

    def siblings(self, gateway: str) -> frozenset[str]:
        """The names of the other processes."""
        return frozenset(f"{gateway}-{number}" for number in range(self.of) if number != self.number)

    def port(self, port: int) -> int:
        """Where it listens."""
        return port + PORT_STEP * self.number if port else 0


def read_share(text: str) -> Share:
    """Raises ShareError."""
    found = _TEXT.fullmatch(text)
    if found is None or not int(found[1]) < int(found[2]) <= MOST_PROCESSES:
        raise ShareError(f"{text!a} is no share; callgate serve --processes makes them, and starts a process for each")
    return Share(int(found[1]), int(found[2]), tuple(found[3].split(",")))


def shares(switches: Sequence[str], processes: int) -> tuple[Share, ...]:
    """Deal them out; never more shares than switches."""
    names = sorted(switches)
    count = max(1, min(processes, len(names)))
    return tuple(Share(number, count, tuple(names[number::count])) for number in range(count))


def part_of(settings: "Settings", share: Share) -> "Settings":
    """The settings of one process. Switches that the config has no longer are left out."""
    folder = settings.ledger.queue_dir / str(share.number)
    return replace(
        settings,
        share=share,
        elsewhere=frozenset(switch.name for switch in settings.switches) - frozenset(share.switches),
        switches=tuple(switch for switch in settings.switches if switch.name in share.switches),
        ledger=replace(settings.ledger, queue_dir=folder),
        control_socket=folder / settings.control_socket.name,
        http=settings.http.model_copy(update={"port": share.port(settings.http.port)}),
        api=replace(settings.api, port=share.port(settings.api.port)),
    )


@dataclass(frozen=True, slots=True)
class Seat:
    """One process, as the others of its machine and commands need to know it."""

    share: Share
    control_socket: Path
    http_port: int
    api_port: int

    @property
    def facts(self) -> dict[str, object]:
        """As JSON has it."""
        return {"switches": list(self.share.switches), "http_port": self.http_port, "api_port": self.api_port}


@dataclass(frozen=True, slots=True)
class Machine:
    """All of them, and what they have in common. It holds no tenants and tariffs: these are large."""

    config_dir: Path
    gateway: str | None
    queue_dir: Path
    redis: "RedisSettings"
    control_socket: Path
    seats: tuple[Seat, ...]
    status: str


def machine_of(settings: "Settings", dealt: Sequence[Share]) -> Machine:
    """Raises ShareError where the processes would be in each other's way."""
    _check_shares(settings, dealt)
    parts = [(share, part_of(settings, share)) for share in dealt]
    return Machine(
        config_dir=settings.config_dir,
        gateway=settings.gateway.name,
        queue_dir=settings.ledger.queue_dir,
        redis=settings.redis,
        control_socket=settings.control_socket,
        seats=tuple(Seat(share, part.control_socket, part.http.port, part.api.port) for share, part in parts),
        status=settings.status,
    )


def _check_shares(settings: "Settings", dealt: Sequence[Share]) -> None:
    ports = {"http.port": settings.http.port} | ({"api.port": settings.api.port} if settings.api.is_on else {})
    taken: set[int] = set()
    for key, port in ports.items():
        found = {share.port(port) for share in dealt} - {0}
        if found & taken:
            raise ShareError(
                f"two of {len(dealt)} processes would listen on port {min(found & taken)}: each listens {PORT_STEP} "
                f"above the one before; write another {key} in gateway.toml, as http.port + 1"
            )
        if max(found, default=0) > _LAST_PORT:
            raise ShareError(
                f"{key} = {port} is too high for {len(dealt)} processes; write a lower one in gateway.toml"
            )
        taken |= found
    if len(dealt[-1].named(settings.gateway.name or "")) > _LONGEST_NAME:
        raise ShareError(
            f"gateway.name is too long for {len(dealt)} processes: each adds its number; write a shorter one"
        )


def check_processes(document: "Document[GatewayFile]") -> None:
    """Told of where some of them would have nothing to do."""
    wanted, switches = document.content.gateway.processes, len(document.content.switch)
    if wanted > max(1, switches):
        what = f"there are {wanted} processes for {switches} switches, and a switch is gated by one of them"
        document.warn(("gateway", "processes"), what, f"write {max(1, switches)}: no more are used")
