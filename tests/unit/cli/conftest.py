"""Commands are run in this process: they must not turn its logging to a stream that ends with them."""

import pytest

from gateway import logs


@pytest.fixture(autouse=True)
def _logging_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "configure", lambda *_, **__: None)
