"""What a server would lose, and in which case; and what of it the config says must not be lost. Pure.

Two columns, because two promises are made. *Booked*: top-ups and settlements, which are told as done only once they are
as safe as ``[ledger]`` asks for. *Under way*: holds and extensions, which wait for no disk; a call whose hold is lost
goes on under its cap, and is registered again or settled from the switch.
"""

from dataclasses import dataclass
from typing import Final

from gateway.adapters.redis.survey import Survey

NOTHING: Final = "nothing"
EVERYTHING: Final = "everything"
_SECONDS: Final = "up to 2 s"  # a sync each second, and one that may be under way
_LAG: Final = "what had not reached the replica yet"
_OLDEST: Final = (7, 0)
_VALKEY_THAT_CUTS_WHOLE_STEPS: Final = (9, 1)  # older ones were not tried


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the config asks for."""

    sync: bool
    replicas: int
    is_embedded: bool  # callgate syncs the files itself, and starts the server with its own settings


@dataclass(frozen=True, slots=True)
class Loss:
    """One case."""

    case: str
    booked: str
    under_way: str
    must_not: bool  # the config says that what is booked survives this, and it does not


@dataclass(frozen=True, slots=True)
class Fault:
    """What is to be mended. ``check`` is its name in gateway/cli/DOCTOR.md."""

    check: str
    what: str
    remedy: str

    def __str__(self) -> str:
        """One sentence."""
        return f"{self.what}; {self.remedy}."


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """All of it. ``faults`` are to be mended; ``notes`` are to be known."""

    losses: tuple[Loss, ...]
    faults: tuple[Fault, ...]
    notes: tuple[str, ...]


def diagnose(server: Survey, wanted: Wanted) -> Diagnosis:
    """Judge a server against what is wanted of it."""
    losses = (_killed(server, wanted), _machine(server, wanted), _disk(server, wanted), _failover(server, wanted))
    return Diagnosis(losses, tuple(_faults(server, wanted, losses)), tuple(_notes(server, wanted)))


def _snapshots(server: Survey) -> str:
    """What a server without an append-only file loses."""
    if server.save is None:
        return "what came after its last snapshot, if it makes any"
    return f"what came after its last snapshot (save {server.save})" if server.save else EVERYTHING


def _killed(server: Survey, wanted: Wanted) -> Loss:
    """The system goes on, and keeps what was written, synced or not."""
    case = "process killed"
    if server.has_aof is False:
        return Loss(case, _snapshots(server), _snapshots(server), wanted.sync)
    # While a sync is under way, everysec answers before it has written (seen).
    late = server.appendfsync not in {"always", "no"}
    is_waited_for = wanted.sync and server.has_waitaof
    booked = _SECONDS if late and not is_waited_for else NOTHING
    return Loss(case, booked, _SECONDS if late else NOTHING, wanted.sync and booked != NOTHING)


def _machine(server: Survey, wanted: Wanted) -> Loss:
    case = "machine lost"
    if server.has_aof is False:
        return Loss(case, _snapshots(server), _snapshots(server), wanted.sync)
    if server.appendfsync == "always":
        return Loss(case, NOTHING, NOTHING, must_not=False)
    if server.appendfsync == "no":
        window = "what the system had not written by itself, some 30 s"
        return Loss(case, window, window, wanted.sync)
    window = _SECONDS
    if server.is_synced_while_saving is False:
        window = "up to 2 s, and all that came while it was saving"
    # Early or not, WAITAOF tells what is written; what is written, callgate can sync where the files are at hand.
    is_kept = wanted.sync and server.has_waitaof and (wanted.is_embedded or server.is_waitaof_early is not True)
    return Loss(case, NOTHING if is_kept else window, window, wanted.sync and not is_kept)


def _disk(server: Survey, wanted: Wanted) -> Loss:
    if wanted.replicas:
        return Loss("disk lost", NOTHING, _LAG, must_not=False)
    left = _LAG if server.replicas else EVERYTHING
    return Loss("disk lost", left, left, must_not=False)


def _failover(server: Survey, wanted: Wanted) -> Loss:
    if wanted.replicas:
        return Loss("fail-over", NOTHING, _LAG, must_not=False)
    left = _LAG if server.replicas else "there is no replica to fail over to"
    return Loss("fail-over", left, left, must_not=False)


# ------------------------------------------------------------------------------------------------ what to mend


def _faults(server: Survey, wanted: Wanted, losses: tuple[Loss, ...]) -> list[Fault]:
    faults = []
    if _version(server) < _OLDEST:
        what = f"{server.name} {server.version} is too old"
        faults.append(Fault("redis-version", what, "use Redis 7.0, Valkey 7.2 or newer"))
    if not server.has_functions:
        what = "It has no functions, or this user may not use them"
        faults.append(Fault("redis-functions", what, "allow FUNCTION and FCALL"))
    if server.role == "slave":
        what = "It is a replica, which takes no writes"
        faults.append(Fault("redis-replica", what, "name its primary in redis.url"))
    if server.maxmemory_policy not in {None, "noeviction"}:
        what = f"Its maxmemory-policy is {server.maxmemory_policy}: short of memory it would throw books away"
        faults.append(Fault("redis-memory", what, "set maxmemory-policy noeviction"))
    if server.replicas is not None and server.replicas < wanted.replicas and server.role != "slave":
        what = (
            f"{server.replicas} replicas are connected and {wanted.replicas} are asked for: nothing would be told as "
            "booked"
        )
        faults.append(Fault("redis-replicas", what, "connect more, or lower ledger.replicas"))
    lost = [loss for loss in losses if loss.must_not]
    if lost:
        cases = " or ".join(loss.case for loss in lost)
        what = f"What is booked can be lost ({cases}), though ledger.sync says that it must not"
        faults.append(Fault("redis-durability", what, _cure(server)))
    if server.has_aof is not False and server.takes_cut_file and not _cuts_whole_steps(server):
        what = "Half of a step that a crash cut off comes back at the start after the next, and money does not add up"
        cure = "set aof-load-truncated no, and run redis-check-aof --fix where it then refuses to start"
        faults.append(Fault("redis-cut-file", what, cure))
    return faults


def _cuts_whole_steps(server: Survey) -> bool:
    """Whether it throws away all of a transaction whose end is missing in its append-only file.

    Redis (7.0.15 and 8.0.6 seen) cuts the file within it: what is left is carried out with the next one's EXEC.
    """
    return server.name == "valkey" and _version(server) >= _VALKEY_THAT_CUTS_WHOLE_STEPS


def _cure(server: Survey) -> str:
    if server.has_aof is False:
        return "set appendonly yes"
    if server.appendfsync == "no":
        return "set appendfsync everysec or always"
    if not server.has_waitaof:
        return "it has no WAITAOF, or this user may not use it: set appendfsync always, or use Redis 7.2 or newer"
    return (
        "its WAITAOF answers before its disk has it (redis/redis#13793: Redis 7.4.0 to 7.4.2, Valkey): "
        "set appendfsync always, or use a release without the fault"
    )


def _notes(server: Survey, wanted: Wanted) -> list[str]:
    notes = []
    if server.unseen:
        notes.append(
            f"Not seen, since this user may not ask: {', '.join(server.unseen)}. Allow +config|get and +info, or look "
            "for yourself; what is told above takes them to be right."
        )
    if server.has_waitaof and server.has_aof and server.is_waitaof_early is None and server.appendfsync != "always":
        notes.append("What its WAITAOF is worth could not be tried; what is told above takes it to be right.")
    if server.is_synced_while_saving is False:
        notes.append("no-appendfsync-on-rewrite is yes: while it saves, nothing is synced and steps wait or are lost.")
    if server.maxmemory_bytes:
        notes.append(
            f"maxmemory is {server.maxmemory_bytes} bytes: at the limit new calls are refused, others end well."
        )
    if wanted.replicas and server.has_waitaof and server.has_aof:
        notes.append("A replica counts only with appendonly yes; what it tells as synced may be up to a second early.")
    if wanted.replicas and not (server.has_waitaof and server.has_aof and wanted.sync):
        notes.append("Replicas are asked for what they have in memory, not on disk.")
    if not wanted.sync:
        notes.append("ledger.sync is false: top-ups and settlements do not wait for the disk.")
    return notes


def _version(server: Survey) -> tuple[int, ...]:
    numbers = server.version.split(".")[:2]
    return tuple(int(number) for number in numbers) if all(number.isdigit() for number in numbers) else _OLDEST
