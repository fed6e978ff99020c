"""What can go wrong, as RFC 9457 problem details; ``code`` is stable for programs, ``detail`` is for people.

No text of an exception that this project did not write reaches a client.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from gateway.ports import LedgerRejected
from gateway.service.desk_error import DeskError

MEDIA_TYPE: Final = "application/problem+json"
TYPE_PREFIX: Final = "urn:callgate:problem:"


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of problem: its status, and what it is in a few words."""

    status: int
    title: str


KINDS: Final = {
    "bad_json": Kind(400, "The body is no JSON"),
    "bad_request": Kind(400, "The request is not HTTP as it should be"),
    "unauthorized": Kind(401, "No valid token"),
    "forbidden": Kind(403, "The token may not do this"),
    "not_found": Kind(404, "There is no such page"),
    "unknown_tenant": Kind(404, "There is no such tenant"),
    "unknown_call": Kind(404, "There is no such call"),
    "unknown_topup": Kind(404, "There is no such top-up"),
    "unknown_country": Kind(404, "There is no such country"),
    "unknown_recharge": Kind(404, "There is no such recharge"),
    "method_not_allowed": Kind(405, "The page does not know this method"),
    "account_closed": Kind(409, "The account is closed"),
    "bad_amount": Kind(409, "The books cannot take this amount or time"),
    "bad_id": Kind(409, "This id cannot be used"),
    "bad_recharge": Kind(409, "Such a rule of recharges cannot be"),
    "bad_state": Kind(409, "Not in this state"),
    "call_ended": Kind(409, "The call has ended"),
    "config_refused": Kind(409, "The config is not right: the old one is in force"),
    "id_reused": Kind(409, "The id was booked before with another amount"),
    "other_gateway": Kind(409, "Another gateway has the switch"),
    "too_old": Kind(409, "The id is too old to be told from a new one"),
    "unknown_account": Kind(409, "The tenant has no account yet"),
    "wrong_currency": Kind(409, "Not the account's currency"),
    "too_large": Kind(413, "The body is too large"),
    "unsupported_media_type": Kind(415, "The body is not application/json"),
    "invalid": Kind(422, "A value is not as the document says"),
    "rate_limited": Kind(429, "Too many requests"),
    "internal": Kind(500, "A fault of callgate; its log says more"),
    "not_available": Kind(501, "This gateway cannot do it"),
    "archive_unavailable": Kind(503, "The journal's archive cannot be read"),
    "ledger_unavailable": Kind(503, "The books cannot be asked"),
    "switch_unavailable": Kind(503, "The switch cannot be asked"),
    "timeout": Kind(504, "No answer in time"),
}
_OF_STATUS: Final = {400: "bad_request", 404: "not_found", 405: "method_not_allowed", 413: "too_large"}
_FAULTS: Final = frozenset({"no_functions", "version", "no_cluster"})  # of the server of the books
_MOST_WRONG: Final = 20


class Wrong(BaseModel):
    """One value that is not as the document says."""

    model_config = ConfigDict(extra="forbid")

    at: str = Field(description="Where: query.limit, body.amount, header.Idempotency-Key")
    what: str


class Problem(BaseModel):
    """An error (RFC 9457)."""

    model_config = ConfigDict(extra="forbid")

    type: str = Field(description=f"{TYPE_PREFIX} and the code")
    title: str
    status: int
    code: str = Field(description="Stable, for programs.", json_schema_extra={"enum": [*sorted(KINDS)]})
    detail: str = Field(description="One sentence for people.")
    errors: list[Wrong] = Field(default=[], description="Of `invalid`: each value that is wrong.")


class ApiProblem(Exception):  # noqa: N818 - it is an answer
    """Ends a request with a problem."""

    def __init__(
        self, code: str, detail: str, errors: Sequence[Wrong] = (), headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.errors = errors[:_MOST_WRONG]
        self.headers = headers or {}

    def response(self) -> web.Response:
        """The answer to send."""
        kind = KINDS[self.code]
        problem = Problem(
            type=TYPE_PREFIX + self.code,
            title=kind.title,
            status=kind.status,
            code=self.code,
            detail=self.detail,
            errors=list(self.errors),
        )
        text = json.dumps(problem.model_dump())
        return web.Response(status=kind.status, text=text, content_type=MEDIA_TYPE, headers=self.headers)


def of_http(error: web.HTTPException) -> ApiProblem:
    """What aiohttp refused by itself: an unknown page, a method, a body that is too large."""
    code = _OF_STATUS.get(error.status, "bad_request")
    allow = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
    return ApiProblem(code, f"{HTTPStatus(error.status).phrase}; /v1/openapi.json says what there is.", headers=allow)


def of_refusal(error: LedgerRejected | DeskError) -> ApiProblem:
    """What the books or the desk refused. Their sentences are this project's own."""
    if error.code in _FAULTS:
        return ApiProblem("ledger_unavailable", "The server of the books is not the right one; `callgate doctor`.")
    return ApiProblem(error.code if error.code in KINDS else "bad_state", str(error))
