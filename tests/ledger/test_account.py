"""Accounts and top-ups."""

import pytest

from gateway.adapters.redis import wire
from gateway.adapters.redis.functions import LIBRARY
from gateway.ports import AccountTerms, Balance, LedgerRejected, TopUp
from rating import MAX_MICROS

from .bank import Bank, flat


async def rejected(awaitable: object) -> str:
    """The code of the rejection that must come, whose text must be a sentence."""
    with pytest.raises(LedgerRejected) as caught:
        await awaitable  # type: ignore[misc]
    assert str(caught.value).endswith(".")
    return caught.value.code


async def test_opening_tells_an_empty_account(bank: Bank) -> None:
    """A new account has nothing and holds nothing."""
    opened = await bank.ledger.open_account(AccountTerms(bank.tenant, "EUR", credit_limit_micros=5))
    assert opened == Balance(bank.tenant, "EUR", False, 0, 0, 5, 0, 0, 0, 0, 0, 1)
    assert opened.available_micros == 5
    assert await bank.outbox() == []


async def test_opening_again_keeps_the_money_and_takes_the_terms(bank: Bank) -> None:
    """Opening an account again applies changed terms and touches no money."""
    await bank.open(credit=100)
    opened = await bank.ledger.open_account(AccountTerms(bank.tenant, "EUR", credit_limit_micros=7))
    assert (opened.balance_micros, opened.credit_limit_micros) == (100, 7)
    again = await bank.ledger.open_account(AccountTerms(bank.tenant, "EUR", credit_limit_micros=7))
    assert again == opened
    assert [entry["type"] for entry in await bank.journal()] == ["open", "topup", "terms"]


async def test_an_account_keeps_its_currency(bank: Bank) -> None:
    """Neither opening nor a top-up may change an account's currency."""
    await bank.open(credit=10)
    assert await rejected(bank.ledger.open_account(AccountTerms(bank.tenant, "USD"))) == "wrong_currency"
    assert await rejected(bank.top_up(5, currency="USD")) == "wrong_currency"
    assert await rejected(bank.top_up(5, currency="euro")) == "wrong_currency"
    assert (await bank.figures())[0] == 10


async def test_an_unknown_account_is_told(bank: Bank) -> None:
    """Whatever is asked of an account that was never opened is unknown_account."""
    assert await rejected(bank.ledger.balance(bank.tenant)) == "unknown_account"
    assert await rejected(bank.top_up(5)) == "unknown_account"
    assert await rejected(bank.answer()) == "unknown_account"
    assert await rejected(bank.extend(1, 0, flat((60, 1)))) == "unknown_account"
    assert await rejected(bank.settle(1, 0)) == "unknown_account"
    assert await rejected(bank.release()) == "unknown_account"
    assert await rejected(bank.ledger.doubt(bank.key())) == "unknown_account"
    assert await bank.live() == []
    await bank.open()


@pytest.mark.parametrize("tenant", ["", "a}b", "{x}", "a b", "a\r\nb", "ü", "x" * 65, "-a", "a/b"])
async def test_a_word_that_breaks_keys_is_no_tenant(bank: Bank, tenant: str) -> None:
    """A tenant's name cannot leave its hash tag or its line."""
    await bank.open()
    assert await rejected(bank.ledger.open_account(AccountTerms(tenant, "EUR"))) == "unknown_account"
    assert await rejected(bank.ledger.top_up(tenant, "t", 5, "EUR", "test")) == "unknown_account"
    assert await rejected(bank.ledger.live_calls(tenant)) == "unknown_account"


async def test_a_top_up_is_booked_once_for_an_id(bank: Bank) -> None:
    """The same top-up sent three times adds its amount once."""
    await bank.open()
    assert await bank.top_up(500, "paid-1") == TopUp(500, is_repeat=False, has_outbox=False)
    for _ in range(2):
        assert await bank.top_up(500, "paid-1") == TopUp(500, is_repeat=True, has_outbox=False)
    assert await bank.figures() == (500, 0, 500)
    assert [entry["call"] for entry in await bank.journal()] == ["", "paid-1"]


async def test_an_id_with_another_amount_is_an_error(bank: Bank) -> None:
    """A top-up id used again with another amount is refused, and adds nothing."""
    await bank.open()
    await bank.top_up(500, "paid-1")
    assert await rejected(bank.top_up(501, "paid-1")) == "id_reused"
    assert (await bank.figures())[0] == 500


@pytest.mark.parametrize("topup_id", ["", "a b", "a\nb", "x" * 201])
async def test_an_id_must_be_one_word(bank: Bank, topup_id: str) -> None:
    """A top-up id is one printable word."""
    await bank.open()
    call = bank.ledger.top_up(bank.tenant, topup_id, 5, "EUR", "test")
    assert await rejected(call) == "bad_id"


@pytest.mark.parametrize("amount", [0, -1, MAX_MICROS + 1, 2**63, 1.5, True, "5"])
async def test_an_absurd_amount_is_refused(bank: Bank, amount: int) -> None:
    """Nothing, less than nothing, more than 2^53 - 1 and what is no int are no top-ups."""
    await bank.open()
    assert await rejected(bank.top_up(amount)) == "bad_amount"
    assert await bank.figures() == (0, 0, 0)


@pytest.mark.parametrize("word", ["0", "-1", "9007199254740992", "1e3", "0x10", "1.0", " 5", "", "nan", "9" * 40])
async def test_the_function_itself_refuses_an_absurd_amount(bank: Bank, word: str) -> None:
    """The Lua function takes whole decimal numbers only, whoever calls it."""
    await bank.open()
    keys = wire.topup_keys(bank.tenant)
    reply = await bank.ledger.pipe.call("FCALL", f"{LIBRARY}_topup", len(keys), *keys, "x", word, "EUR", "test", 0)
    assert reply.startswith(b"rejected bad_amount ")
    assert await bank.figures() == (0, 0, 0)


async def test_sums_stay_within_what_doubles_hold(bank: Bank) -> None:
    """A top-up that would lift the sum over 2^53 - 1 is refused; one that just reaches it is exact."""
    await bank.open(credit=MAX_MICROS - 10)
    assert await rejected(bank.top_up(11)) == "bad_amount"
    assert (await bank.top_up(10)).balance_micros == MAX_MICROS
    assert await rejected(bank.top_up(1)) == "bad_amount"


async def test_the_credit_limit_counts_in_the_sum(bank: Bank) -> None:
    """Balance and credit limit together stay within 2^53 - 1, so that what is available is exact."""
    await bank.open(credit=MAX_MICROS - 10, credit_limit_micros=10)
    assert await rejected(bank.top_up(1)) == "bad_amount"
    terms = AccountTerms(bank.tenant, "EUR", credit_limit_micros=11)
    assert await rejected(bank.ledger.open_account(terms)) == "bad_amount"
    assert await bank.figures() == (MAX_MICROS - 10, 0, MAX_MICROS)


async def test_totals_stay_within_what_doubles_hold(bank: Bank) -> None:
    """The total of all top-ups stays within 2^53 - 1 also when the money was spent in between."""
    await bank.open(credit=MAX_MICROS)
    await bank.reserve(flat((60, MAX_MICROS)))
    await bank.answer()
    await bank.settle(1, MAX_MICROS)
    assert await rejected(bank.top_up(1)) == "bad_amount"
    assert await bank.figures() == (0, 0, 0)


async def test_large_amounts_are_exact(bank: Bank) -> None:
    """Amounts of 10^14 and more, where Lua would print 1e+14, are kept to the last digit."""
    await bank.open(credit=10**14)
    await bank.top_up(10**15 + 1)
    await bank.reserve(flat((60, 10**14), fee=3))
    await bank.answer()
    await bank.settle(1, 10**14 + 2)
    assert await bank.figures() == (10**15 - 1, 0, 10**15 - 1)
    assert (await bank.journal())[1]["credit"] == "100000000000000"
