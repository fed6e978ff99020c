"""What it takes to reach one switch."""

import re
from dataclasses import dataclass

_FORBIDDEN = re.compile("[\r\n\0]")


@dataclass(frozen=True, slots=True)
class AmiSettings:
    """One Asterisk's manager interface. Times are seconds.

    ``mark``: the secret of ``CALLGATE_MARK`` (see ``shapes``); empty where the PBX is not set up for it.
    Raises ValueError where a value cannot be sent.
    """

    name: str
    username: str
    secret: str
    host: str = "127.0.0.1"
    port: int = 5038
    mark: str = ""
    connect_seconds: float = 5.0
    login_seconds: float = 5.0  # Asterisk itself waits 1 s before it refuses a password
    refused_retry_seconds: float = 30.0
    action_seconds: float = 2.0
    list_seconds: float = 15.0
    ping_interval_seconds: float = 2.0
    ping_seconds: float = 2.0
    backoff_seconds: float = 0.2
    most_backoff_seconds: float = 5.0
    boot_seconds: float = 3.0
    facts_limit: int = 20_000

    def __post_init__(self) -> None:
        for label, value in (("username", self.username), ("secret", self.secret), ("mark", self.mark)):
            if _FORBIDDEN.search(value):
                raise ValueError(f"switch {self.name}: {label} holds CR, LF or NUL; write it without")
