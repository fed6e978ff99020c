"""What the core needs from the world, as protocols. Adapters implement them; tests may implement them too.

Money is ``int`` micro-units of the account's currency. Times that end in ``_ms`` are milliseconds; PBX times are
the PBX's own clock, ledger times are the ledger's.
"""

from gateway.core.books import Grant, Pool, Refused, Settled
from gateway.core.notices import BY_HAND
from gateway.ports.audit import Audited, AuditWatch, BooksAudit, Misfit, NotAuditedError
from gateway.ports.books import (
    AccountTerms,
    Balance,
    CallKey,
    CallRegistered,
    CreditRanShort,
    FundsCame,
    LedgerRejected,
    LedgerUnavailable,
    Lent,
    Lot,
    OutboxEvent,
    OwnersKey,
    StoredCall,
    TopUp,
    Unsettled,
)
from gateway.ports.desk import ArchivePage, DeskLedger, Reloaded
from gateway.ports.figures import DayFigures, Figures
from gateway.ports.journal import Archive, ArchiveBrokenError, ArchiveBusyError, JournalReader
from gateway.ports.ledger import ExposureStore, Ledger, SettleQueue
from gateway.ports.limits import Refusal, Restraints, Restriction
from gateway.ports.mail import MailBox, MailWatch, Posted, Postman, WaitingMail
from gateway.ports.onlooker import NOBODY, Onlooker
from gateway.ports.outbox import (
    Attempt,
    DeadEvent,
    Lane,
    Later,
    Outbox,
    OutboxDesk,
    OutboxState,
    Outcome,
    Turn,
)
from gateway.ports.ownership import LeaseGiven, Leases
from gateway.ports.recharge import Leaving, RechargeBooks, Recharged, RechargeStatus
from gateway.ports.switch import ListNotWhole, Switch, SwitchUnavailable, VerdictLate
from gateway.ports.world import CDRSink, Happening, Notifier, PaymentProgram, Watch

__all__ = [
    "BY_HAND",
    "NOBODY",
    "AccountTerms",
    "Archive",
    "ArchiveBrokenError",
    "ArchiveBusyError",
    "ArchivePage",
    "Attempt",
    "AuditWatch",
    "Audited",
    "Balance",
    "BooksAudit",
    "CDRSink",
    "CallKey",
    "CallRegistered",
    "CreditRanShort",
    "DayFigures",
    "DeadEvent",
    "DeskLedger",
    "ExposureStore",
    "Figures",
    "FundsCame",
    "Grant",
    "Happening",
    "JournalReader",
    "Lane",
    "Later",
    "LeaseGiven",
    "Leases",
    "Leaving",
    "Ledger",
    "LedgerRejected",
    "LedgerUnavailable",
    "Lent",
    "ListNotWhole",
    "Lot",
    "MailBox",
    "MailWatch",
    "Misfit",
    "NotAuditedError",
    "Notifier",
    "Onlooker",
    "Outbox",
    "OutboxDesk",
    "OutboxEvent",
    "OutboxState",
    "Outcome",
    "OwnersKey",
    "PaymentProgram",
    "Pool",
    "Posted",
    "Postman",
    "RechargeBooks",
    "RechargeStatus",
    "Recharged",
    "Refusal",
    "Refused",
    "Reloaded",
    "Restraints",
    "Restriction",
    "SettleQueue",
    "Settled",
    "StoredCall",
    "Switch",
    "SwitchUnavailable",
    "TopUp",
    "Turn",
    "Unsettled",
    "VerdictLate",
    "WaitingMail",
    "Watch",
]
