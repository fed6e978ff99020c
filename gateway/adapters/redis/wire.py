"""What goes to the ledger's functions and what comes back: names of keys, checks before, reading after.

The functions check again what is checked here: a gateway of another version, or a person with a client, must
not be able to write nonsense either.
"""

import hashlib
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

from gateway.adapters.redis import recharge_rule
from gateway.adapters.redis.packing import Packed, Word
from gateway.core.curbs import NO_CURBS, Curbs, Kind, ShortCall, Trigger
from gateway.core.guards import TENANT_PAUSE, cli_of, cli_pause
from gateway.core.reasons import Reason
from gateway.ports import (
    AccountTerms,
    Balance,
    CallKey,
    DeadEvent,
    Grant,
    Lane,
    LedgerRejected,
    OutboxEvent,
    OutboxState,
    OwnersKey,
    Pool,
    Refused,
    Settled,
    StoredCall,
    TopUp,
)
from rating import MAX_MICROS, Ladder

_TENANT: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_NAME: Final = re.compile(r"[!-~]{1,200}")  # ids of calls and top-ups: printable, no spaces
_CURRENCY: Final = re.compile(r"[A-Z]{3}")
_MOST_RUNGS: Final = 1024  # rating builds 64 at most; a longer one would hold the server up
_MOST_TEXT: Final = 4096
MOST_META: Final = 65_536  # a price of 51 rows of 16 steps each
_PRICE: Final = ',"price":'  # where the part of a meta begins that many calls have alike
_NO_FACTS: Final = frozenset({"id", "type", "at_ms", "again"})
_OF_THE_DEAD: Final = ("why", "dead_at_ms")
_POOL: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_YES: Final = "1"
_NO_CURBS: Final = ("", "0")
_NO_CURBS_OF_AN_ASK: Final = ("", "0", "0")

# --------------------------------------------------------------------------------------------------- checks


def is_tenant(tenant: str) -> bool:
    """Tell whether the word may name a tenant. Braces, for one, would break the hash tag of its keys."""
    return _TENANT.fullmatch(tenant) is not None


def is_call_id(call_id: str) -> bool:
    """Tell whether the word may name a call."""
    return _NAME.fullmatch(call_id) is not None


def checked_tenant(tenant: str) -> str:
    """Return the tenant. Rejected: ``unknown_account``."""
    if not is_tenant(tenant):
        raise LedgerRejected(
            "unknown_account",
            f"{tenant[:80]!r} cannot name a tenant; use up to 64 letters, digits, dots, dashes, underscores.",
        )
    return tenant


def checked_call(key: CallKey) -> CallKey:
    """Return the key. Rejected: ``unknown_account``, ``unknown_call``."""
    checked_tenant(key.tenant)
    if not is_call_id(key.call_id):
        raise LedgerRejected("unknown_call", f"{key.call_id[:80]!r} cannot name a call; use switch/uniqueid/nonce.")
    return key


def checked_topup_id(topup_id: str) -> str:
    """Return the id. Rejected: ``bad_id``."""
    if _NAME.fullmatch(topup_id) is None:
        raise LedgerRejected(
            "bad_id", f"{topup_id[:80]!r} cannot name a top-up; use 1 to 200 printable characters, no space."
        )
    return topup_id


def checked_currency(currency: str) -> str:
    """Return the currency. Rejected: ``wrong_currency``."""
    if _CURRENCY.fullmatch(currency) is None:
        raise LedgerRejected("wrong_currency", f"{currency[:80]!r} is no currency; use an ISO 4217 code such as EUR.")
    return currency


def checked_text(text: str, most: int = _MOST_TEXT) -> str:
    """Return what is only kept and given back. Rejected: ``bad_state`` when it is too long to keep."""
    if len(text) > most:
        raise LedgerRejected("bad_state", f"A text of {len(text)} characters is too long; keep it to {most}.")
    return text


def checked_amount(amount: int, least: int = 0) -> int:
    """Return micro-units, seconds or milliseconds. Rejected: ``bad_amount``."""
    # A bool or a float that slipped through would be money of another kind.
    if type(amount) is not int or not least <= amount <= MAX_MICROS:
        raise LedgerRejected("bad_amount", f"{amount!r} is not a whole number from {least} to 2^53 - 1.")
    return amount


@lru_cache(maxsize=1024)  # the calls of a tariff have few ladders between them; one equal to a good one is as good
def ladder_words(ladder: Ladder) -> Packed:
    """Flatten a ladder: fee, then seconds and micro-units of each rung. Rejected: ``bad_amount``."""
    if not 0 < len(ladder.rungs) <= _MOST_RUNGS:
        raise LedgerRejected("bad_amount", f"A ladder of {len(ladder.rungs)} rungs; give from 1 to {_MOST_RUNGS}.")
    words = [checked_amount(ladder.fee_micros)]
    last_seconds, last_micros = 0, 0
    for seconds, micros in ladder.rungs:
        checked_amount(seconds, last_seconds + 1)
        checked_amount(micros, last_micros)
        words += (seconds, micros)
        last_seconds, last_micros = seconds, micros
    checked_amount(ladder.fee_micros + last_micros)
    return Packed.of(*words)


def terms_words(terms: AccountTerms) -> list[str | int]:
    """Flatten an account's terms. Rejected: ``bad_amount``, ``wrong_currency``."""
    limit = checked_amount(terms.credit_limit_micros)
    return [checked_currency(terms.currency), limit, recharge_rule.words_of(terms.recharge)]


def offer_words(ladder: Ladder, pool: Pool | None, *, fair: bool, is_first: bool) -> tuple[Word, ...]:
    """Flatten what a step may sell: fairness, included time, the ladder. Rejected: ``bad_amount``, ``bad_id``."""
    if pool is None:
        return "1" if fair else "0", "", "0", "" if is_first else "0", ladder_words(ladder)
    basis: str | int = checked_amount(pool.covered_micros)
    if is_first:
        basis = "" if pool.spare_seconds is None else checked_amount(pool.spare_seconds)
    return int(fair), pool_name(pool), checked_amount(pool.size_seconds), basis, ladder_words(ladder)


def curb_words(curbs: Curbs, *, is_ask: bool) -> Sequence[Word]:
    """Flatten what restrains a step: pauses, checks, and an ask's guards. Rejected: ``bad_amount``, ``bad_id``."""
    if curbs is NO_CURBS:
        return _NO_CURBS_OF_AN_ASK if is_ask else _NO_CURBS
    words: list[Word] = [" ".join(map(checked_name, curbs.pauses)), len(curbs.checks)]
    for check in curbs.checks:
        counter = checked_name(check.counter) if check.counter else ""
        bounds = checked_amount(check.most), checked_amount(check.window_ms)
        words += (check.kind, check.reason, checked_name(check.limit), counter, *bounds)
    if not is_ask:
        return words
    if not curbs.is_guarded:
        return [*words, 0]
    words += (1, curbs.digits, curbs.prefix, curbs.country, int(curbs.holds_new_country))
    return [*words, *trigger_words(curbs.refusals), *trigger_words(curbs.sequence)]


def trigger_words(trigger: Trigger | None) -> tuple[str | int, ...]:
    """Flatten a guard. Rejected: ``bad_amount``, ``bad_id``."""
    if trigger is None:
        return ("", "", 0, 0, "")
    pause = "" if trigger.pause_ms is None else checked_amount(trigger.pause_ms)
    names = checked_name(trigger.guard), checked_name(trigger.target)
    return (*names, checked_amount(trigger.count, 1), checked_amount(trigger.window_ms, 1), pause)


def pause_target(cli: str) -> str:
    """Name what is paused: a caller, or with none the whole tenant. Rejected: ``bad_id``."""
    if not cli:
        return TENANT_PAUSE
    known = cli_of(cli)
    if not known:
        raise LedgerRejected("bad_id", f"{cli[:80]!r} has no digit; name a caller by its number.")
    return cli_pause(known)


def fence_words(key: CallKey) -> tuple[Packed, ...]:
    """Say under which fence a step was decided on; nothing where nobody's lease matters."""
    return _fence(key.fence) if isinstance(key, OwnersKey) and key.fence else ()


@lru_cache(maxsize=1024)  # one a switch
def _fence(number: int) -> tuple[Packed, ...]:
    return (Packed.of(f"#{number}"),)


def checked_name(name: str) -> str:
    """Return what names a counter, a guard or a target. Rejected: ``bad_id``."""
    if _NAME.fullmatch(name) is None:
        raise LedgerRejected("bad_id", f"{name[:80]!r} cannot name a counter; use printable characters, no space.")
    return name


def pool_name(pool: Pool) -> str:
    """Name a pool's period. Rejected: ``bad_id``."""
    for word in (pool.name, pool.period):
        if _POOL.fullmatch(word) is None:
            raise LedgerRejected("bad_id", f"{word[:80]!r} cannot name included time; use letters, digits, . _ and -.")
    return f"{pool.name}|{pool.period}"


def meta_words(meta: str) -> tuple[str, str, str]:
    """Cut a meta in two: what is the call's own; an id of its price and the price, both empty where it has none.

    Put together, they are the meta again, whatever it is. Rejected: ``bad_state`` when it is too long to keep.
    """
    own, mark, rest = checked_text(meta, MOST_META).partition(_PRICE)
    price = mark + rest
    return own, _price_id(price) if price else "", price


@lru_cache(maxsize=256)
def _price_id(price: str) -> str:
    return hashlib.blake2b(price.encode(), digest_size=12).hexdigest()


# ----------------------------------------------------------------------------------------------------- keys


@lru_cache(maxsize=65_536)
def account_keys(tenant: str) -> tuple[str, ...]:
    """Name the keys that every step gets, in the order in which the functions read them."""
    tag = f"cg:{{{tenant}}}:"
    return tag + "account", tag + "live", tag + "journal", tag + "outbox", tag + "lots"


@lru_cache(maxsize=65_536)
def _call_keys(tenant: str) -> tuple[str, ...]:
    return prices_key(tenant), limits_key(tenant)


@lru_cache(maxsize=65_536)
def _ask_keys(tenant: str) -> tuple[str, ...]:
    return *_call_keys(tenant), refusals_key(tenant), paused_refusals_key(tenant), countries_key(tenant)


def call_keys(key: CallKey) -> Sequence[str]:
    """Name the keys of a step of one call."""
    tenant = key.tenant
    return *account_keys(tenant), *stored_keys(tenant, key.call_id), *_call_keys(tenant)


def ask_keys(key: CallKey, curbs: Curbs) -> Sequence[str]:
    """Name the keys of an ask: those of a step, and what tells who asks too often."""
    tenant, refused = key.tenant, curbs.refusals
    refused_log = _log_key(tenant, f"{refused.guard}|{refused.target}" if refused else "")
    rates = [_log_key(tenant, check.counter) for check in curbs.checks if check.kind is Kind.RATE]
    return *account_keys(tenant), *stored_keys(tenant, key.call_id), *_ask_keys(tenant), refused_log, *rates


def settle_keys(key: CallKey, short_call: ShortCall | None) -> Sequence[str]:
    """Name the keys of a settle: those of a step, and where short calls are counted the log of these."""
    if short_call is None:
        return call_keys(key)
    trigger = short_call.trigger
    return [*call_keys(key), _log_key(key.tenant, f"{trigger.guard}|{trigger.target}")]


def limits_key(tenant: str) -> str:
    """Name the key of what limits count."""
    return f"cg:{{{tenant}}}:limits"


def hours_key(tenant: str) -> str:
    """Name the key of what was charged hour by hour."""
    return f"cg:{{{tenant}}}:hours"


def refusals_key(tenant: str) -> str:
    """Name the key of the asks that were refused last."""
    return f"cg:{{{tenant}}}:refusals"


def paused_refusals_key(tenant: str) -> str:
    """Name the key of the asks that were refused last because of a pause or a quarantine."""
    return f"cg:{{{tenant}}}:refusals:paused"


def countries_key(tenant: str) -> str:
    """Name the key of the countries that were called before."""
    return f"cg:{{{tenant}}}:countries"


def _log_key(tenant: str, name: str) -> str:
    return f"cg:{{{tenant}}}:log:{name}"


def outbox_keys(tenant: str, lane: Lane = Lane.ALL) -> list[str]:
    """Name the keys of events: those that wait, how the delivery of a lane goes, those that were given up."""
    tag = f"cg:{{{tenant}}}:"
    return [tag + "outbox", tag + ("paying" if lane is Lane.PAYMENTS else "delivery"), tag + "dead"]


def topup_keys(tenant: str) -> list[str]:
    """Name the keys of a top-up, its reversal, and of what becomes of their ids."""
    tag = f"cg:{{{tenant}}}:"
    return [*account_keys(tenant), tag + "topups", tag + "ids", tag + "old"]


def tend_keys(tenant: str) -> list[str]:
    """Name the keys of what the clock brings: those of top-ups, what limits count, charges by the hour."""
    return [*topup_keys(tenant), limits_key(tenant), hours_key(tenant)]


def prices_key(tenant: str) -> str:
    """Name the key of what the metas of a tenant's calls have in common."""
    return f"cg:{{{tenant}}}:prices"


def stored_keys(tenant: str, call_id: str) -> list[str]:
    """Name the keys of one call: its books and its meta."""
    return [f"cg:{{{tenant}}}:call:{call_id}", f"cg:{{{tenant}}}:meta:{call_id}"]


# -------------------------------------------------------------------------------------------------- replies


def read_rejection(reply: bytes) -> LedgerRejected:
    """Read ``rejected CODE SENTENCE``."""
    _, code, sentence = reply.decode().split(" ", 2)
    return LedgerRejected(code, sentence[:1].upper() + sentence[1:] + ".")


def read_grant(reply: bytes) -> Grant | Refused:
    """Read ``granted SECONDS HELD AVAILABLE IS_SHORT HAS_OUTBOX INCLUDED``, or a refusal: see ``_refused``."""
    words = reply.decode().split(" ")
    if words[0] == "refused":
        return _refused(words)
    _, seconds, held, available, is_short, has_outbox, included = words
    return Grant(int(seconds), int(held), int(available), is_short == _YES, has_outbox == _YES, int(included))


def _refused(words: Sequence[str]) -> Refused:
    """Read ``refused REASON HAS_OUTBOX LIMIT USED MOST``; a limit of ``-`` is none."""
    _, reason, has_outbox, limit, used, most = words
    return Refused(Reason(reason), has_outbox == _YES, "" if limit == "-" else limit, int(used), int(most))


def read_settled(reply: bytes) -> Settled:
    """Read ``settled CHARGED SECONDS BALANCE IS_ESTIMATE HAS_OUTBOX``."""
    _, charged, seconds, balance, is_estimate, has_outbox = reply.decode().split(" ")
    return Settled(
        int(charged), int(seconds), int(balance), is_estimate=is_estimate == _YES, has_outbox=has_outbox == _YES
    )


def read_topup(reply: bytes) -> TopUp:
    """Read ``booked BALANCE IS_REPEAT HAS_OUTBOX``."""
    _, balance, is_repeat, has_outbox = reply.decode().split(" ")
    return TopUp(int(balance), is_repeat=is_repeat == _YES, has_outbox=has_outbox == _YES)


def read_balance(tenant: str, reply: bytes) -> Balance:
    """Read ``balance CURRENCY STATUS BALANCE HELD LIMIT CREDITS CHARGES ADJUSTMENTS EXPIRED LIVE ENTRIES``."""
    _, currency, status, *figures = reply.decode().split(" ")
    return Balance(tenant, currency, status == "closed", *map(int, figures))


def read_call(tenant: str, call_id: str, values: Sequence[bytes]) -> StoredCall:
    """Read the fields of a live call, in the order of STORED in the Lua file, its meta last."""
    state, step, granted, charged, held, leg, answered_at, valid_until, included, pool, meta = values
    return StoredCall(
        key=CallKey(tenant, call_id),
        state=state.decode(),
        step=int(step),
        granted_seconds=int(granted),
        charged_micros=int(charged),
        held_micros=int(held),
        leg=leg.decode(),
        answered_at_ms=int(answered_at),
        valid_until_ms=int(valid_until),
        included_seconds=int(included),
        pool=pool.decode(),
        meta=meta.decode(),
    )


def read_event(entry: Sequence[Any]) -> OutboxEvent:
    """Read one entry of the outbox stream."""
    entry_id, pairs = entry
    words = [word.decode(errors="replace") for word in pairs]  # one that raises would block all behind it
    fields = dict(zip(words[::2], words[1::2], strict=True))
    facts = {name: value for name, value in fields.items() if name not in _NO_FACTS}
    return OutboxEvent(entry_id.decode(), fields["id"], fields["type"], fields["tenant"], int(fields["at_ms"]), facts)


def read_dead(entry: Sequence[Any]) -> DeadEvent:
    """Read one entry of the stream of events that were given up."""
    event = read_event(entry)
    why, dead_at_ms = [event.facts.pop(name) for name in _OF_THE_DEAD]
    return DeadEvent(event, int(dead_at_ms), why)


def read_outbox_state(reply: bytes) -> OutboxState:
    """Read ``outbox WAITING AGE_MS DEAD TRIES NEXT_MS SINCE GONE WHY``; why is the rest, spaces and all."""
    *figures, why = reply.decode().split(" ", 8)[1:]
    waiting, age_ms, dead, tries, next_ms, since_ms, gone_ms = map(int, figures)
    return OutboxState(waiting, age_ms / 1000, dead, tries, next_ms / 1000, since_ms, gone_ms, why)
