"""The shape of gateway.toml."""

from typing import Annotated, Literal

from pydantic import Field, StrictBool, StrictInt

from gateway.settings.sections import (
    MOST_ITEMS,
    ChannelPattern,
    FileName,
    HeaderValue,
    Host,
    HourOrOff,
    MailAddress,
    Milliseconds,
    Name,
    PlanName,
    Port,
    RedisUrl,
    Section,
    TariffName,
    WebhookUrl,
    key,
)
from gateway.settings.share import MOST_PROCESSES


class RedisSection(Section):
    """Where the books are."""

    url: RedisUrl = key("where Redis or Valkey is", '"embedded"', "embedded")
    data_dir: FileName | None = key(
        "folder of the embedded server's data; else redis in state_dir", '"/srv/callgate/redis"', None
    )


class LedgerSection(Section):
    """What must be safe before it is told as booked."""

    sync: StrictBool = key("whether top-ups and settlements wait for the disk, true or false", "true", True)
    replicas: Annotated[StrictInt, Field(ge=0, le=16)] = key(
        "how many replicas must have a top-up or a settlement, 0 to 16", "1", 0
    )
    queue_dir: FileName | None = key(
        "folder of the settlements that the ledger has not taken yet; else unsettled in state_dir",
        '"/srv/callgate/unsettled"',
        None,
    )
    ids_kept_days: Annotated[StrictInt, Field(ge=1, le=36_500)] = key(
        "days for which ids of top-ups and calls are kept; a repeat after that is refused, 1 to 36500", "400", 400
    )


class GatewaySection(Section):
    """This gateway among others on the same Redis."""

    name: Name | None = key(
        "a name of letters, digits, dots, dashes and underscores, at most 64, that no other gateway has", '"east"', None
    )
    lease_ms: Annotated[StrictInt, Field(ge=200, le=10_000)] = key(
        "milliseconds after which another gateway has the switches of one that fell silent, 200 to 10000", "600", 600
    )
    processes: Annotated[StrictInt, Field(ge=1, le=MOST_PROCESSES)] = key(
        "how many processes on this machine share the switches, 1 to 64", "2", 1
    )


class HttpSection(Section):
    """The pages for Prometheus and supervisors."""

    host: Host = key("address to listen on", '"127.0.0.1"', "127.0.0.1")
    port: Port = key("port to listen on, 0 to 65535 (0: any free one)", "9464", 9464)
    tenant_labels: Annotated[StrictInt, Field(ge=0, le=10_000)] = key(
        "how many tenants have metrics of their own, 0 to 10000; the others are summed", "200", 200
    )


class ApiSection(Section):
    """The HTTP API for admins and clerks. It is off unless a file of tokens is named."""

    tokens_file: FileName | None = key(
        "the file of tokens, from the config folder: with it the API is on", '"secrets/tokens.toml"', None
    )
    host: Host = key("address to listen on", '"127.0.0.1"', "127.0.0.1")
    port: Port = key("port to listen on, 0 to 65535 (0: any free one)", "9465", 9465)
    tls_cert: FileName | None = key("file of the TLS certificate and its chain", '"secrets/api.pem"', None)
    tls_key: FileName | None = key("file of the certificate's key", '"secrets/api.key"', None)
    insecure: StrictBool = key(
        "true to listen beyond this machine without TLS, as behind a proxy that has it", "true", default=False
    )
    audit_file: FileName | None = key(
        "file of who changed what; else api-audit.jsonl in state_dir", '"/var/log/callgate/api-audit.jsonl"', None
    )
    requests_per_second: Annotated[StrictInt, Field(ge=1, le=10_000)] = key(
        "requests a second of one token, 1 to 10000; for a moment twice as many", "50", 50
    )


class WebhookSection(Section):
    """What holds for the webhooks of all tenants."""

    allow_private: StrictBool = key(
        "true where webhooks may be in a private network; 127.0.0.1 and localhost always may", "true", default=False
    )


class SwitchSection(Section):
    """One Asterisk and its manager user. The secret stands in exactly one of three places."""

    name: Name = key("a name of letters, digits, dots, dashes and underscores, at most 64", '"pbx1"')
    host: Host = key("where its AMI listens", '"127.0.0.1"', "127.0.0.1")
    port: Annotated[StrictInt, Field(ge=1, le=65535)] = key("AMI's port, 1 to 65535", "5038", 5038)
    username: HeaderValue = key("the manager user", '"callgate"', "callgate")
    secret: HeaderValue | None = key("the manager user's secret", '"…"', None)
    secret_file: FileName | None = key("a file that holds the secret", '"secrets/pbx1"', None)
    secret_env: FileName | None = key("an environment variable that holds the secret", '"PBX1_SECRET"', None)
    mark: HeaderValue | None = key("the secret of CALLGATE_MARK, where the PBX has one", '"5f1d0c9ab34e7768"', None)
    trunks: Annotated[tuple[ChannelPattern, ...], Field(max_length=MOST_ITEMS)] = key(
        "the channels that cost money: technology and endpoint, with * and ?", '["PJSIP/carrier"]', ()
    )
    unasked: Literal["adopt", "end", "ignore"] = key(
        "what is done about a metered leg on them that nobody asked for: adopt, end or ignore", '"end"', "end"
    )
    unasked_tenant: Name | None = key("who pays for one whose accountcode is nobody's", '"acme"', None)
    audit_seconds: Annotated[StrictInt, Field(ge=5, le=86_400)] = key(
        "seconds between two looks at all its channels, 5 to 86400", "60", 60
    )
    connect_timeout_ms: Milliseconds = key("milliseconds for connect and login, 100 to 60000", "5000", 5000)
    action_timeout_ms: Milliseconds = key("milliseconds for the answer to an action, 100 to 60000", "2000", 2000)
    ping_interval_ms: Milliseconds = key("milliseconds between two pings, 100 to 60000", "2000", 2000)
    ping_timeout_ms: Milliseconds = key(
        "milliseconds without the answer to a ping after which the link is given up, 100 to 60000",
        "2000",
        2000,
    )


class VerdictSection(Section):
    """The answer to an ask."""

    deadline_ms: Annotated[StrictInt, Field(ge=50, le=10_000)] = key(
        "milliseconds in which a verdict must be sent, 50 to 10000 and well inside the dialplan's wait",
        "2000",
        2000,
    )


class PathsSection(Section):
    """Folders, from the config folder."""

    tenants: FileName = key("folder of the tenants' files", '"tenants"', "tenants")
    plans: FileName = key("folder of the plans", '"plans"', "plans")
    tariffs: FileName = key("folder of the tariffs", '"tariffs"', "tariffs")
    lists: FileName = key("folder of the lists of prefixes", '"lists"', "lists")


class RatingSection(Section):
    """What holds for all tenants that do not say otherwise."""

    default_tariff: TariffName | None = key(
        "the tariff that comes after a tenant's own and its plan's", '"default.csv"', None
    )
    default_plan: PlanName | None = key("the plan of the tenants that name none", '"pay-as-you-go.toml"', None)


class JournalSection(Section):
    """Where the ledger's journal is kept for good."""

    archive: StrictBool = key("false where only another gateway on the same Redis is to archive", "true", default=True)
    dir: FileName | None = key(
        "folder of the journal's files; else journal in state_dir", '"/srv/callgate/journal"', None
    )
    file_mib: Annotated[StrictInt, Field(ge=1, le=4096)] = key(
        "mebibytes after which a tenant's next file begins, 1 to 4096", "64", 64
    )
    audit_at: HourOrOff = key(
        "when all books are audited each day, by this machine's clock; or off", '"03:30"', "03:30"
    )


class MailSection(Section):
    """The server that notices are sent by. Its password stands in a file of its own or in the environment."""

    host: Host = key("where the mail server is", '"smtp.example.com"')
    port: Annotated[StrictInt, Field(ge=1, le=65535)] | None = key(
        "its port, 1 to 65535; else 587 with starttls, 465 with tls, 25 with none", "587", None
    )
    tls: Literal["starttls", "tls", "none"] = key(
        "starttls, tls (from the first byte on) or none", '"starttls"', "starttls"
    )
    ca_file: FileName | None = key(
        "a file of certificates, in PEM, where the server's is not signed by a public authority",
        '"secrets/mail-ca.pem"',
        None,
    )
    sender: MailAddress = key("the address that notices come from, and bounces go to", '"callgate@example.com"')
    username: HeaderValue | None = key("who logs in there, where one must", '"callgate"', None)
    password_file: FileName | None = key("a file that holds the password", '"secrets/mail"', None)
    password_env: FileName | None = key("an environment variable that holds the password", '"MAIL_PASSWORD"', None)
    timeout_seconds: Annotated[StrictInt, Field(ge=1, le=60)] = key(
        "seconds for one mail from beginning to end, 1 to 60", "30", 30
    )


class LogSection(Section):
    """What is logged."""

    level: Literal["debug", "info", "warning", "error"] = key("debug, info, warning or error", '"info"', "info")
    numbers: Literal["full", "masked"] = key(
        "full, or masked: of a telephone number only country code and last two digits", '"masked"', "full"
    )


class TracingSection(Section):
    """Where traces of calls go, by OTLP over HTTP."""

    endpoint: WebhookUrl = key("the whole URL of a collector's traces", '"http://127.0.0.1:4318/v1/traces"')
    one_in: Annotated[StrictInt, Field(ge=1, le=1_000_000)] = key(
        "of how many calls one is traced, 1 to 1000000", "100", 1
    )


class GatewayFile(Section):
    """The whole of gateway.toml."""

    state_dir: FileName = key(
        "folder of all that callgate writes, from the config folder", '"/var/lib/callgate"', "../.callgate"
    )
    gateway: GatewaySection = key("this gateway among others", "[gateway]", GatewaySection())
    redis: RedisSection = key("where the books are", "[redis]", RedisSection())
    ledger: LedgerSection = key("what must be safe before it is told as booked", "[ledger]", LedgerSection())
    http: HttpSection = key("the pages for Prometheus", "[http]", HttpSection())
    api: ApiSection = key("the HTTP API for admins and clerks", "[api]", ApiSection())
    webhook: WebhookSection = key("what holds for all webhooks", "[webhook]", WebhookSection())
    switch: Annotated[tuple[SwitchSection, ...], Field(max_length=MOST_ITEMS)] = key(
        "one section for each Asterisk", "[[switch]]", ()
    )
    verdict: VerdictSection = key("the answer to an ask", "[verdict]", VerdictSection())
    paths: PathsSection = key("folders", "[paths]", PathsSection())
    rating: RatingSection = key("what holds for all tenants", "[rating]", RatingSection())
    journal: JournalSection = key("where the journal is kept", "[journal]", JournalSection())
    mail: MailSection | None = key("the server that notices are sent by", "[mail]", None)
    log: LogSection = key("what is logged", "[log]", LogSection())
    tracing: TracingSection | None = key("where traces of calls go", "[tracing]", None)

    def written(self, named: str | None, usual: str) -> str:
        """Where something that callgate writes is, from the config folder: where it was named, else in its folder."""
        return named or f"{self.state_dir}/{usual}"
