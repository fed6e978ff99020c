"""The config: TOML files and tariffs in one folder, read whole or not at all.

``load`` gives Settings or raises ConfigErrors with all problems; ``check`` gives problems and warnings; ``read`` both.
"""

from gateway.settings.api import ApiSettings
from gateway.settings.as_if import tenant_as_if
from gateway.settings.loader import (
    JournalSettings,
    RedisSettings,
    Settings,
    SwitchSettings,
    check,
    control_socket,
    load,
    read,
)
from gateway.settings.mail import MailSettings
from gateway.settings.problem import ConfigErrors, Problem
from gateway.settings.sections import is_name
from gateway.settings.share import Machine, Seat, Share, ShareError, machine_of, part_of, read_share, shares
from gateway.settings.tariffs import load_tariff

__all__ = [
    "ApiSettings",
    "ConfigErrors",
    "JournalSettings",
    "Machine",
    "MailSettings",
    "Problem",
    "RedisSettings",
    "Seat",
    "Settings",
    "Share",
    "ShareError",
    "SwitchSettings",
    "check",
    "control_socket",
    "is_name",
    "load",
    "load_tariff",
    "machine_of",
    "part_of",
    "read",
    "read_share",
    "shares",
    "tenant_as_if",
]
