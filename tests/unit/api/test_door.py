"""Who is let in, how often, and what is written down of it."""

import asyncio
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from gateway.adapters.http.api.audit_log import AuditLog
from gateway.adapters.http.api.door import _site
from gateway.adapters.http.api.limiter import Limiter
from gateway.adapters.http.api.live import PATH as LIVE
from gateway.adapters.http.api.operations import OPERATIONS, Operation
from gateway.adapters.http.api.server import PUBLIC
from gateway.adapters.http.page import files
from gateway.core.access import TOKEN_BYTES, Keyring, Role, Token, hash_of
from gateway.ports import LedgerUnavailable

from .office import NO_TOKEN, Caller, Office

BODIES: dict[str, dict[str, object]] = {
    "top_up": {"amount": "1.00"},
    "reverse_top_up": {"id": "pay-1"},
    "restrict": {"why": "test"},
    "set_recharge": {"mode": "none", "trigger": "1.00"},
    "recharge_succeeded": {},
    "recharge_failed": {"reason": "card declined"},
    "recharge_pending": {"reason": "3-D Secure"},
    "allow_country": {"country": "MC"},
}


def request_of(operation: Operation, tenant: str) -> tuple[str, str, dict[str, Any]]:
    """A request that the operation would serve."""
    words = {"recharge": f"rch_{tenant}_1", "tenant": tenant, "switch": "pbx1", "uniqueid": "1.1", "nonce": "1"}
    path = re.sub(r"\{(\w+)\}", lambda word: words[word[1]], operation.path)
    options: dict[str, Any] = {"headers": {"Idempotency-Key": f"key-{operation.name}"}} if operation.has_key else {}
    if operation.body is not None:
        options["json"] = BODIES[operation.name]
    if operation.name == "quote":
        path += "?number=911"
    return operation.method, path, options


async def answered(api: Caller, operation: Operation, tenant: str, token: str) -> tuple[int, str]:
    """Status, and the code of what was wrong."""
    method, path, options = request_of(operation, tenant)
    status, body = await api(method, path, token, **options)
    return status, body.get("code", "ok")


# ------------------------------------------------------------------------------------------------ roles and tenants


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
async def test_nothing_answers_without_its_role(api: Caller, office: Office, operation: Operation) -> None:
    """Each route, each role, each tenant: served with the role, a 401, 403 or 404 without."""
    assert await answered(api, operation, office.mine, NO_TOKEN) == (401, "unauthorized")
    assert await answered(api, operation, office.mine, "wrong") == (401, "unauthorized")
    for role in Role:
        told = await answered(api, operation, office.mine, role.value)
        if operation.role in {Role.READ, role}:
            # There is no such call, top-up or recharge, nor anything to recharge: it was let in, all the same.
            lacking = {(404, f"unknown_{what}") for what in ("call", "topup", "recharge")}
            assert told in {(200, "ok"), (409, "bad_state"), *lacking}
        else:
            assert told == (403, "forbidden")
    if operation.is_of_tenant:
        others = await answered(api, operation, office.other, "mine")
        assert others == await answered(api, operation, "nobody", "mine") == (404, "unknown_tenant")
    if operation.is_global:
        assert await answered(api, operation, office.mine, "mine") == (403, "forbidden")


async def test_every_route_is_in_the_table(office: Office) -> None:
    """Beside what says what the API is, the live page's shell and its stream, no route is not in the walk above."""
    routes = {
        (route.method, route.resource.canonical) for route in office.server().app().router.routes() if route.resource
    }
    assert routes == {(one.method, one.path) for one in OPERATIONS} | {
        ("GET", path) for path in (*PUBLIC, *files(), LIVE)
    }


async def test_another_tenant_is_as_one_that_does_not_exist(api: Caller, office: Office) -> None:
    """The same answer, byte by byte, with the same look-ups and no question to the books."""
    asked: list[str] = []
    real = office.desk.tenant

    def tenant(tenant_id: str) -> object:
        asked.append(tenant_id)
        return real(tenant_id)

    office.desk.tenant = tenant  # type: ignore[method-assign, assignment]
    others = await api.whole("GET", f"/v1/tenants/{office.other}/balance", "mine")
    nobodys = await api.whole("GET", "/v1/tenants/nobody/balance", "mine")
    assert (others[0], others[2]) == (nobodys[0], nobodys[2])
    assert asked == [office.other, "nobody"]
    assert [name for name in others[1] if name != "Date"] == [name for name in nobodys[1] if name != "Date"]


@pytest.mark.parametrize(
    "words",
    ["..%2fother", "%2e%2e", "other%00", "other/", "oth%65r", "mine%2f..%2fother", "{mine}", "*", "%F0%9F%98%80"],
)
async def test_no_spelling_reaches_another_tenant(api: Caller, office: Office, words: str) -> None:
    """Escapes, dots, slashes and braces in a path name no tenant that the token does not see."""
    words = words.replace("oth%65r", office.other.replace("e", "%65", 1))
    words = words.replace("other", office.other).replace("mine", office.mine)
    at = api._client.make_url("/")
    for rest in ("", "/balance"):
        reader, writer = await asyncio.open_connection(at.host, at.port)  # a client that spells nothing anew
        head = ["Host: x", "Authorization: Bearer mine", "Connection: close", "", ""]
        writer.write("\r\n".join([f"GET /v1/tenants/{words}{rest} HTTP/1.1", *head]).encode())
        told = (await reader.read()).decode()
        writer.close()
        assert told.split(" ")[1] in {"400", "404"}, told
        assert "micros" not in told


# ---------------------------------------------------------------------------------------------------------- tokens


@pytest.mark.parametrize(
    "header",
    [
        "all",
        "Basic all",
        "Bearer",
        "Bearer ",
        "Bearer all all",
        "Bearer " + "a" * 5000,
        "Bearer \u00e4ll",
        "Bearer ALL",
    ],
)
async def test_what_is_no_token(api: Caller, header: str) -> None:
    """Is a 401 that says how to send one."""
    status, headers, told = await api.whole("GET", "/v1/tenants", NO_TOKEN, headers={"Authorization": header})
    assert (status, told["code"]) == (401, "unauthorized")
    assert headers["WWW-Authenticate"].startswith("Bearer")


async def test_a_removed_token_is_out_at_the_next_request(api: Caller, office: Office) -> None:
    """The tokens in force are looked up each time: a reload reads them again."""
    assert (await api("GET", "/v1/tenants"))[0] == 200
    office.keyring = Keyring()
    assert (await api("GET", "/v1/tenants"))[0] == 401


def test_a_token_is_known_by_its_hash_alone() -> None:
    """The hash itself opens nothing."""
    token = Token("one", frozenset({Role.READ}), None, hash_of("secret"))
    keyring = Keyring([token])
    assert keyring.find("secret") is token
    assert keyring.find(hash_of("secret").hex()) is None
    assert TOKEN_BYTES * 8 == 256


# ----------------------------------------------------------------------------------------------------- how often


async def test_a_token_that_asks_too_often_waits(office: Office) -> None:
    """It is told for how long; the others are served."""
    async with Caller(office, requests_per_second=1) as api:
        told = [await api.whole("GET", "/v1/tenants", "read") for _ in range(3)]
        assert [status for status, _, _ in told] == [200, 200, 429]
        assert told[2][1]["Retry-After"] == "1"
        assert (await api("GET", "/v1/tenants", "bill"))[0] == 200


async def test_failures_of_an_address_are_bounded(api: Caller, office: Office) -> None:
    """Then it is told to wait, without a line each in the audit log; who has a token is served all the same."""
    statuses = [(await api("GET", "/v1/tenants", "wrong"))[0] for _ in range(15)]
    assert statuses == [401] * 10 + [429] * 5
    assert [line["outcome"] for line in office.audit()] == ["unauthorized"] * 10
    assert (await api("GET", "/v1/tenants", "read"))[0] == 200


def test_addresses_of_one_site_are_one() -> None:
    """A /64 of IPv6 is one customer; of IPv4 each address is."""
    assert _site("2001:db8:1:2::1") == _site("2001:db8:1:2:ffff::9") != _site("2001:db8:1:3::1")
    assert _site("192.0.2.1") != _site("192.0.2.2")
    assert _site(None) == ""


async def test_what_was_held_back_is_told_with_the_next_line(
    api: Caller, office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A flood is counted, and does not fill the disk."""
    now = [0.0]
    monkeypatch.setattr(api.server._door._failures, "_now_seconds", lambda: now[0])
    for _ in range(25):
        await api("GET", "/v1/tenants", "wrong")
    now[0] = 60.0
    await api("GET", "/v1/tenants", "wrong")
    assert [line["held_back"] for line in office.audit()] == [0] * 10 + [15]


def test_a_bucket_fills_by_the_clock() -> None:
    """Up to its burst; what was held back is told once."""
    now = [0.0]
    limiter = Limiter(2, 2, now_seconds=lambda: now[0])
    assert [limiter.take("a") for _ in range(3)] == [0, 0, 0.5]
    assert (limiter.held_back("a"), limiter.held_back("a")) == (1, 0)
    now[0] = 100.0
    assert [limiter.take("a") for _ in range(3)] == [0, 0, 0.5]
    assert limiter.take("b") == 0


def test_names_of_long_ago_are_forgotten() -> None:
    """A flood of addresses takes bounded memory."""
    limiter = Limiter(1, 1, most=10)
    for number in range(1000):
        limiter.take(str(number))
    assert len(limiter._buckets) == 10


# ------------------------------------------------------------------------------------------------- the audit log


async def test_who_did_what_to_whom_with_what_outcome(api: Caller, office: Office) -> None:
    """One line for each change, done or refused; none for what is only read; no secret in it."""
    await api.top_up("1.00", source="card")
    await api("GET", "/v1/tenants")
    await api("POST", f"/v1/tenants/{office.mine}/close", "read")
    await api("POST", f"/v1/tenants/{office.mine}/topups", json={"amount": "x"}, headers={"Idempotency-Key": "k"})
    done, forbidden, invalid = office.audit()
    assert (done["token"], done["operation"], done["outcome"], done["status"]) == ("all", "top_up", "ok", 200)
    assert done["what"] == {
        "tenant": office.mine,
        "amount_micros": 1_000_000,
        "source": "card",
        "idempotency_key": "pay-1",
        "is_repeat": False,
    }
    assert done["address"] == "127.0.0.1"
    assert (forbidden["token"], forbidden["operation"], forbidden["outcome"]) == ("read", "close_account", "forbidden")
    assert (invalid["outcome"], invalid["what"]) == ("invalid", {"tenant": office.mine})


async def test_a_refused_authentication_is_written_down_without_what_was_sent(api: Caller, office: Office) -> None:
    """It may be a token of another place."""
    await api("GET", "/v1/tenants", "my-bank-password")
    (line,) = office.audit()
    assert (line["outcome"], line["token"], line["path"]) == ("unauthorized", "wrong", "/v1/tenants")
    assert "my-bank-password" not in json.dumps(line)


def test_a_line_that_a_full_disk_cut_off_does_not_spoil_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The next one begins on a line of its own; the one that was cut off is in the log, whole."""
    log, write = AuditLog(tmp_path / "audit.jsonl"), os.write
    monkeypatch.setattr(os, "write", lambda handle, text: write(handle, text[:9]))
    log.write({"token": "first"})
    monkeypatch.undo()
    log.write({"token": "second"})
    log.write({"token": "third"})
    assert (tmp_path / "audit.jsonl").read_text() == '{"token":\n{"token":"second"}\n{"token":"third"}\n'
    assert "'token': 'first'" in capsys.readouterr().out


async def test_an_audit_that_cannot_be_written_is_logged_and_stops_no_clerk(api: Caller, office: Office) -> None:
    """The money is booked by then: an error would have it booked twice."""
    office.audit_file.unlink(missing_ok=True)
    office.audit_file.mkdir()
    assert (await api.top_up())[0] == 200


# --------------------------------------------------------------------------------------------------- hostile bodies


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "bad_json"),
        (b"{", "bad_json"),
        (b'{"amount":"1.00","amount":"2.00"}', "bad_json"),
        (b'{"amount":NaN}', "bad_json"),
        (b'{"amount":' + b"9" * 10_000 + b"}", "bad_json"),
        (b"[" * 8_000, "bad_json"),
        ("{}".encode("utf-16"), "bad_json"),
        (b'{"amount":"1.00","source":"\xff"}', "bad_json"),
        (b'{"amount":"1.00","source":"\\ud800"}', "invalid"),
        (b'{"amount":1e400}', "invalid"),
        (b'{"amount":"\\u0661"}', "invalid"),
        (b'{"amount":"1.00\\n"}', "invalid"),
        (b'{"\\ud800":1}', "invalid"),
        (b" " * 20_000, "too_large"),
    ],
)
async def test_odd_json_is_a_problem_and_books_nothing(api: Caller, office: Office, body: bytes, code: str) -> None:
    """Whatever it is, it is told in a sentence."""
    headers = {"Idempotency-Key": "k", "Content-Type": "application/json"}
    status, told = await api("POST", f"/v1/tenants/{office.mine}/topups", data=body, headers=headers)
    assert told["code"] == code
    assert 400 <= status < 500
    assert (await office.house.balance()).journal_entries == 1


async def test_a_body_has_its_type(api: Caller, office: Office) -> None:
    """A form of a browser is none."""
    told = await api("POST", f"/v1/tenants/{office.mine}/reversals", data={"id": "pay-1"})
    assert (told[0], told[1]["code"]) == (415, "unsupported_media_type")


ODD_QUERIES = [
    *(f"limit={text}" for text in ("0", "201", "1_0", "x", "1.0", "%D9%A1", "", "1&limit=2")),
    *(f"cursor={text}" for text in ("", "%00", "a//%20", "..%2f")),
    "foo=1",
]


@pytest.mark.parametrize("query", ODD_QUERIES)
async def test_odd_queries(api: Caller, query: str) -> None:
    """A parameter that is unknown, twice there or out of its bounds is named."""
    status, told = await api("GET", f"/v1/calls?{query}")
    assert (status, told["code"]) == (422, "invalid")
    assert told["errors"]


# ------------------------------------------------------------------------------------------------ what goes wrong


async def test_unknown_pages_and_methods_are_problems(api: Caller) -> None:
    """A 405 says what the page knows."""
    assert (await api("GET", "/v2/tenants"))[1]["code"] == "not_found"
    status, headers, told = await api.whole("PATCH", "/v1/tenants")
    assert (status, told["code"], headers["Allow"]) == (405, "method_not_allowed", "GET")


async def test_a_fault_shows_nothing_of_itself(api: Caller, office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is a 500 and an error in the log; what the books and the disk suffer are 503."""
    faults = [
        (RuntimeError("secret words"), 500, "internal"),
        (LedgerUnavailable("10.0.0.1 is down"), 503, "ledger_unavailable"),
        (OSError(28, "No space", "/srv/secret"), 503, "archive_unavailable"),
    ]
    for fault, status, code in faults:

        async def broken(*_: object, fault: Exception = fault) -> None:
            raise fault

        monkeypatch.setattr(office.desk, "lots", broken)
        got, told = await api("GET", f"/v1/tenants/{office.mine}/lots")
        assert (got, told["code"]) == (status, code)
        assert not any(word in json.dumps(told) for word in ("secret", "10.0.0.1"))


async def test_who_hangs_is_told_so(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the line in the audit log says that nobody knows."""

    async def hangs(*_: object, **__: object) -> None:
        await asyncio.sleep(60)

    monkeypatch.setattr(office.desk, "top_up", hangs)
    async with Caller(office, timeout_seconds=0.05) as api:
        assert (await api.top_up())[1]["code"] == "timeout"
    assert [line["outcome"] for line in office.audit()] == ["timeout"]


async def test_an_odd_expect_is_no_error_of_another_form(api: Caller) -> None:
    """The library would answer it by itself, in plain text."""
    assert (await api("GET", "/v1/tenants", headers={"Expect": "the-unexpected"}))[0] == 200
