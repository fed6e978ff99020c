"""The site: whole, and sufficient to itself."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.cli.panels import PANELS
from gateway.docs.drawing import Arrow, ranks
from gateway.docs.gather import PAGES, ROOT, Links, as_mkdocs_reads_it, places
from gateway.settings.schema import SCHEMAS, schema_of

# A page may link to elsewhere; it may not load from there.
_LOADED = re.compile(
    r"""<(?:script|img|iframe|source|video|audio|embed|object)\b[^>]*?\b(?:src|data)=["']?(?:https?:)?//"""
    r"""|<link\b(?![^>]*rel=["']?(?:canonical|next|prev))[^>]*?\bhref=["']?(?:https?:)?//"""
    r"""|url\(["']?(?:https?:)?//|@import"""
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as `make docs` does."""
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", folder,
         "--config-file", ROOT / "gateway/docs/mkdocs.yml"],
        cwd=ROOT, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    return folder


def test_no_page_loads_anything_from_elsewhere(site: Path) -> None:
    """No font, script, style or picture: a reader's address is told to nobody."""
    pages = [*site.rglob("*.html"), *site.rglob("*.css")]
    assert len(pages) > 60
    found = [(page.name, match[0]) for page in pages for match in _LOADED.finditer(page.read_text("utf-8"))]
    assert found == []


def test_the_reference_has_each_key_and_each_command(site: Path) -> None:
    """It is made of the models and of the command line."""
    config = (site / "reference/config.html").read_text("utf-8")
    keys = {name for kind in SCHEMAS for name in _keys(schema_of(kind))}
    assert len(keys) > 100
    assert [name for name in sorted(keys) if name not in config] == []
    commands = (site / "reference/commands.html").read_text("utf-8")
    names = [name for panel in PANELS.values() for name in panel]
    assert [name for name in names if f"callgate {name}" not in commands] == []


def _keys(schema: dict[str, dict[str, dict[str, object]]]) -> set[str]:
    sections = [schema, *schema["definitions"].values()]
    return {name for section in sections for name in section.get("properties", {})}


def test_the_runbook_that_an_alert_names_is_on_the_site(site: Path) -> None:
    """Under the name that its ``runbook_url`` ends with, which leads to its page."""
    alerts = (ROOT / "config/prometheus/alerts.yml").read_text("utf-8")
    named = re.findall(r"callgate_runbooks }}/(\w+\.md)", alerts)
    assert len(named) > 40
    for name in named:
        (page,) = re.findall(r'url=([^"]+)"', (site / "runbooks" / name / "index.html").read_text("utf-8"))
        assert "How to mend" in (site / "runbooks" / name / page).read_text("utf-8")


def test_every_page_of_the_checkout_is_on_the_site() -> None:
    """Markdown that nobody gathers is found by nobody."""
    listed = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    left_out = [path for path in listed if not path.startswith(f"{PAGES}/") and path not in places()]
    assert left_out == []


def test_a_link_holds_in_the_checkout_and_on_the_site() -> None:
    """To a page it leads to the page; a file that is on none is named; code is left alone."""
    links = Links(frozenset())
    written = (
        "[a](../../gateway/LOGS.md#lines), [the tests](../../tests/lab), [rules](alerts.yml), `[x](y)`, "
        "![p](../mail/notice.png)"
    )
    assert links.rewritten(written, "how-to/prometheus.md") == (
        "[a](../reference/logs.md#lines), the tests (`tests/lab`), rules (`config/prometheus/alerts.yml`), `[x](y)`, "
        "![p](../pictures/config-mail-notice.png)"
    )
    with pytest.raises(FileNotFoundError, match=r"config/prometheus/none\.yml"):
        links.rewritten("[a](none.yml)", "how-to/prometheus.md")


def test_what_belongs_to_an_item_stays_with_it() -> None:
    """Text and code below a numbered item; and what follows the list is none of it."""
    written = "1. a\n\n       code\n\n   more\n2. b\n\nend\n   of it"
    assert as_mkdocs_reads_it(written) == "1. a\n\n        code\n\n    more\n\n2. b\n\nend\n   of it"


def test_a_state_stands_below_all_that_lead_to_it() -> None:
    """On the longest way from the start that meets no state twice."""
    arrows = [Arrow("[*]", "a", ""), Arrow("a", "b", ""), Arrow("b", "c", ""), Arrow("a", "c", ""), Arrow("c", "b", "")]
    assert ranks(arrows) == {"[*]": 0, "a": 1, "b": 3, "c": 3}
