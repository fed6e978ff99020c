"""Who is let in: the token, how often it may ask, its role, its tenants; and what was asked, checked."""

import ipaddress
import json
import math
import time
from collections.abc import Callable
from typing import Any, Final, TypeVar

from aiohttp import web
from pydantic import BaseModel, ValidationError

from gateway.adapters.http.api import asks
from gateway.adapters.http.api.audit_log import AuditLog
from gateway.adapters.http.api.handlers import Visit
from gateway.adapters.http.api.limiter import Limiter
from gateway.adapters.http.api.operations import Operation
from gateway.adapters.http.api.problems import ApiProblem, Wrong
from gateway.adapters.http.api.shapes import iso
from gateway.core.access import MOST_TOKEN_CHARACTERS, Keyring, Token
from gateway.core.tenant import Tenant
from gateway.service.desk import Desk
from gateway.service.desk_error import DeskError

KEY_HEADER: Final = "Idempotency-Key"
FAILURES_A_SECOND, FAILURES_AT_ONCE = 0.2, 10
_SCHEME: Final = "bearer"
_IPV6_SITE_BITS: Final = 64  # one customer of a carrier has at least so many addresses
_MOST_IN_AUDIT: Final = 200

Model = TypeVar("Model", bound=BaseModel)


class Door:
    """Makes a Visit of a request, or ends it with a problem, and keeps the audit log."""

    def __init__(
        self,
        desk: Desk,
        keyring: Callable[[], Keyring],
        audit: AuditLog,
        requests_per_second: int,
        failures_at_once: int = FAILURES_AT_ONCE,
    ) -> None:
        """``keyring`` gives the tokens in force: a reload reads them again."""
        self._desk = desk
        self._keyring = keyring
        self._audit = audit
        self._requests = Limiter(requests_per_second, 2 * requests_per_second)
        self._failures = Limiter(FAILURES_A_SECOND, failures_at_once)

    # ------------------------------------------------------------------------------------------------ the token

    def let_in(self, request: web.Request) -> Token:
        """The token of a request, which may ask now. Raises ApiProblem."""
        token = self._token(request)
        wait_seconds = self._requests.take(token.name)
        if wait_seconds:
            raise _too_many(wait_seconds, f"The token {token.name} asks too often.")
        return token

    def _token(self, request: web.Request) -> Token:
        scheme, _, secret = request.headers.get("Authorization", "").partition(" ")
        given = secret.strip() if scheme.lower() == _SCHEME else ""
        token = self._keyring().find(given) if 0 < len(given) <= MOST_TOKEN_CHARACTERS else None
        if token is None or len(request.headers.getall("Authorization")) > 1:
            raise self._refused(request, "wrong" if given else "none")
        return token

    def _refused(self, request: web.Request, given: str) -> ApiProblem:
        """A valid token is let in, however often its address failed: nobody locks out those behind the same proxy."""
        site = _site(request.remote)
        wait_seconds = self._failures.take(site)
        if wait_seconds:  # counted, and told with the next line: a flood is not to fill the disk
            return _too_many(wait_seconds, "Too many requests without a valid token.")
        self._write(request, "unauthorized", 401, token=given, held_back=self._failures.held_back(site))
        return ApiProblem(
            "unauthorized",
            "Send Authorization: Bearer and a token that `callgate token make` made.",
            headers={"WWW-Authenticate": 'Bearer realm="callgate"'},
        )

    # -------------------------------------------------------------------------------------------- what is asked

    async def visit(self, request: web.Request, operation: Operation, token: Token) -> Visit:
        """What may be served. Raises ApiProblem."""
        words = request.match_info
        tenant = self._tenant(token, words["tenant"]) if operation.is_of_tenant else None
        if not token.may(operation.role):
            raise ApiProblem("forbidden", f"This takes the role {operation.role}; the token {token.name} lacks it.")
        if operation.is_global and token.tenants is not None:
            raise ApiProblem("forbidden", "This concerns all tenants; the token sees only some.")
        call_id = "/".join(words[name] for name in ("switch", "uniqueid", "nonce")) if "nonce" in words else ""
        return Visit(
            self._desk,
            token,
            tenant,
            call_id,
            recharge=words.get("recharge", ""),
            query=_query(request, operation.query),
            key=_key(request) if operation.has_key else "",
            body=await _body(request, operation.body),
        )

    def _tenant(self, token: Token, name: str) -> Tenant:
        """One that the token does not see is as one that does not exist: same words, same look-ups, same time."""
        sees = token.sees(name)
        unknown = ApiProblem("unknown_tenant", "There is no such tenant.")
        try:
            tenant = self._desk.tenant(name)
        except DeskError:
            raise unknown from None
        if not sees:
            raise unknown
        return tenant

    # -------------------------------------------------------------------------------------------- the audit log

    def keep(
        self, request: web.Request, operation: Operation, token: Token, visit: Visit | None, outcome: str, status: int
    ) -> None:
        """Write down a call that changes something, whatever became of it."""
        what: dict[str, object] = {name: text[:_MOST_IN_AUDIT] for name, text in request.match_info.items()}
        if visit is not None:
            for asked in (visit.query, visit.body):
                what |= asked.model_dump(exclude_none=True, exclude_defaults=True) if asked is not None else {}
            what |= visit.seen | ({"idempotency_key": visit.key} if visit.key else {})
        self._write(request, outcome, status, token=token.name, operation=operation.name, what=what)

    def _write(self, request: web.Request, outcome: str, status: int, **facts: object) -> None:
        at_ms = int(time.time() * 1000)
        line: dict[str, object] = {
            "at": iso(at_ms),
            "at_ms": at_ms,
            "address": request.remote,
            "method": request.method,
        }
        self._audit.write(line | {"path": request.path[:_MOST_IN_AUDIT], **facts, "outcome": outcome, "status": status})


def _too_many(wait_seconds: float, detail: str) -> ApiProblem:
    return ApiProblem("rate_limited", detail, headers={"Retry-After": str(math.ceil(wait_seconds))})


def _site(address: str | None) -> str:
    try:
        found = ipaddress.ip_address(address or "")
    except ValueError:
        return address or ""
    if found.version == 4:  # noqa: PLR2004
        return str(found)
    return str(ipaddress.ip_network((int(found), _IPV6_SITE_BITS), strict=False))


# ---------------------------------------------------------------------------------------------------- what is asked


def _query(request: web.Request, model: type[Model]) -> Model:
    pairs = list(request.query.items())
    values = dict(pairs)
    if len(values) < len(pairs):
        raise ApiProblem("invalid", "A parameter stands twice in the query.", [Wrong(at="query", what="one is twice")])
    return _checked(model, values, "query")


async def _body(request: web.Request, model: type[Model] | None) -> Model | None:
    raw = await request.read()
    if model is None:
        if raw.strip():
            raise ApiProblem("invalid", "This takes no body.", [Wrong(at="body", what="leave it out")])
        return None
    if request.content_type != "application/json":
        raise ApiProblem("unsupported_media_type", "Send the body as Content-Type: application/json.")
    return _checked(model, _json(raw), "body")


def _json(raw: bytes) -> Any:
    """JSON as RFC 8259 has it: UTF-8, no key twice, no NaN."""
    try:
        return json.loads(raw.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise ApiProblem("bad_json", "The body is no JSON in UTF-8, or has a key twice.") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands twice")
    return found


def _no_constant(_: str) -> None:
    raise ValueError("NaN and Infinity are no JSON")


def _key(request: web.Request) -> str:
    given = request.headers.getall(KEY_HEADER, [])
    return _checked(asks.KeyHeader, {KEY_HEADER: given[0]} if len(given) == 1 else {}, "header").key


def _checked(model: type[Model], values: Any, where: str) -> Model:
    try:
        return model.model_validate(values)
    except ValidationError as error:
        wrong = [
            Wrong(at=".".join([where, *(_shown(part) for part in detail["loc"])]), what=detail["msg"])
            for detail in error.errors(include_url=False, include_input=False, include_context=False)
        ]
        raise ApiProblem("invalid", "A value is not as /v1/openapi.json says; `errors` tells which.", wrong) from None


def _shown(part: str | int) -> str:
    """A key that a client made up may be anything."""
    return ascii(part)[1:-1][:60] if isinstance(part, str) else str(part)
