"""The OpenAPI document and the API are the same thing: Schemathesis attacks the one with the other."""

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest

from gateway.adapters.http.api import openapi
from gateway.adapters.http.api.operations import OPERATIONS, problems_of
from gateway.adapters.http.api.problems import KINDS

from .office import MICROS, Caller, Office

SHORT_EXAMPLES, LONG_EXAMPLES = 8, 150


async def attacked(office: Office, folder: Path, examples: int) -> str:
    """What Schemathesis says of the API on a real socket, over a tenant with money and a live call."""
    await office.house.top_up(1000 * MICROS)
    await office.house.answered()
    server = office.server(failures_at_once=1_000_000)
    await server.start()
    words = ["--checks", "all", "--max-examples", str(examples), "--seed", "1", "--no-color"]
    # A DELETE takes one restriction away, and the list of them is there all the same.
    words += ["--exclude-checks", "use_after_free"]
    words += ["--exclude-path", "/v1/live"]  # it does not end
    words += ["-H", "Authorization: Bearer all", f"{server.url}/v1/openapi.json"]
    try:
        run = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "schemathesis.cli", "run", *words,
            cwd=folder, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        told = (await run.communicate())[0].decode()
    finally:
        await server.stop()
    assert run.returncode == 0, told[-8_000:]
    return told


async def test_no_500_and_no_breach(office: Office, tmp_path: Path) -> None:
    """Examples, edges, random and stateful requests: each answer is one that the document has."""
    told = await attacked(office, tmp_path, SHORT_EXAMPLES)
    assert f"Tested: {len(OPERATIONS)}" in told


@pytest.mark.full
@pytest.mark.timeout(1200)
async def test_no_500_and_no_breach_at_length(office: Office, tmp_path: Path) -> None:
    """The long form: some ten thousand requests."""
    told = await attacked(office, tmp_path, LONG_EXAMPLES)
    assert f"Tested: {len(OPERATIONS)}" in told


async def test_the_document_and_the_page_need_no_token(api: Caller) -> None:
    """They say what the API is, and nothing of this gateway; the page has no script and nothing from elsewhere."""
    status, told = await api("GET", "/v1/openapi.json", "")
    assert (status, told) == (200, openapi.document())
    status, headers, page = await api.whole("GET", "/v1/docs", "")
    assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert all(operation.path.replace("{", "&#x7B;") in page or operation.path in page for operation in OPERATIONS)
    assert "<script" not in page
    assert "http" not in page.split("</style>")[1]
    assert headers["Content-Security-Policy"].startswith("default-src 'none'")


def test_every_model_refuses_what_it_does_not_know() -> None:
    """So does the document: no object of its schemas is open but the facts of a refusal."""
    schemas = openapi.document()["components"]["schemas"]
    is_open = [name for name, schema in schemas.items() if schema["type"] == "object" and "properties" in schema]
    assert all(schemas[name]["additionalProperties"] is False for name in is_open)


def test_every_problem_is_told_where_it_can_come_from() -> None:
    """Each code is known, and each status of an operation's codes is in its part of the document."""
    paths: dict[str, Any] = openapi.document()["paths"]
    told = set()
    for operation in OPERATIONS:
        statuses = set(paths[operation.path][operation.method.lower()]["responses"])
        assert statuses == {"200", *(str(KINDS[code].status) for code in problems_of(operation))}
        told |= set(problems_of(operation))
    # These are of no operation: nobody gets so far.
    assert set(KINDS) - told == {"not_found", "method_not_allowed"}
