"""Adapters that are made of settings alone, for a gateway or for one command."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from gateway.adapters.ami.settings import AmiSettings
from gateway.adapters.http.api import ApiServer
from gateway.adapters.mail.postman import SmtpPostman
from gateway.adapters.mail.server import MailServer, Tls
from gateway.ports import Onlooker
from gateway.service.desk import Desk
from gateway.service.live import LiveFeed
from gateway.settings import MailSettings, Settings, SwitchSettings
from gateway.settings.gateway_file import LogSection, TracingSection

if TYPE_CHECKING:
    from gateway.adapters.tracing import Tracer


def api(desk: Desk, settings: Callable[[], Settings], live: LiveFeed | None = None) -> ApiServer:
    """The HTTP API. ``settings`` gives those in force: a reload reads the tokens again; all else is of the start."""
    first = settings().api
    return ApiServer(
        desk,
        lambda: settings().api.keyring,
        audit_file=first.audit_file,
        live=live,
        host=first.host,
        port=first.port,
        tls=(first.tls_cert, first.tls_key) if first.tls_cert and first.tls_key else None,
        requests_per_second=first.requests_per_second,
    )


def postman(mail: MailSettings) -> SmtpPostman:
    """Who sends notices. Raises OSError for a ``ca_file`` that holds no certificates."""
    return SmtpPostman(
        MailServer(
            host=mail.host,
            port=mail.port,
            sender=mail.sender,
            tls=Tls(mail.tls),
            ca_file=mail.ca_file,
            username=mail.username,
            password=mail.password,
            timeout_seconds=mail.timeout_seconds,
        )
    )


def tracer(tracing: TracingSection, gateway: str, log: LogSection, then: Onlooker) -> "Tracer":
    """Who makes traces of calls. Settings have seen to it that the extra is there."""
    from gateway.adapters.tracing import Tracer  # noqa: PLC0415 - an extra

    is_masked = log.numbers == "masked"
    return Tracer(tracing.endpoint, gateway, then, one_in=tracing.one_in, is_masked=is_masked)


def ami_settings(settings: SwitchSettings) -> AmiSettings:
    """The adapter's settings of one switch."""
    return AmiSettings(
        name=settings.name,
        host=settings.host,
        port=settings.port,
        username=settings.username,
        secret=settings.secret,
        mark=settings.mark,
        connect_seconds=settings.connect_timeout_ms / 1000,
        action_seconds=settings.action_timeout_ms / 1000,
        ping_interval_seconds=settings.ping_interval_ms / 1000,
        ping_seconds=settings.ping_timeout_ms / 1000,
    )
