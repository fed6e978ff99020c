"""Which Markdown of the checkout is on the site, and where; and links that hold in both places.

A link is written as it holds in the checkout, so that it works where the repository is read. On the site it leads to
the page that the file became; a file that is on no page is named by its path.
"""

import posixpath
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
PAGES: Final = "gateway/docs/pages"

_PLACES: Final[Mapping[str, str]] = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "config/asterisk/README.md": "how-to/asterisk.md",
    "config/asterisk/REASONS.md": "reference/reasons.md",
    "config/asterisk/freepbx/README.md": "how-to/freepbx.md",
    "config/grafana/README.md": "how-to/grafana.md",
    "config/mail/README.md": "how-to/mail.md",
    "config/plans/LIMITS.md": "how-to/limits.md",
    "config/plans/README.md": "how-to/plans.md",
    "config/prometheus/README.md": "how-to/prometheus.md",
    "config/systemd/README.md": "how-to/systemd.md",
    "config/tariffs/README.md": "how-to/tariffs.md",
    "gateway/LOGS.md": "reference/logs.md",
    "gateway/PROCESSES.md": "how-to/processes.md",
    "gateway/adapters/http/api/README.md": "how-to/api.md",
    "gateway/adapters/http/page/README.md": "how-to/live-page.md",
    "gateway/adapters/metrics/README.md": "reference/metrics.md",
    "gateway/adapters/redis/README.md": "explanation/ledger.md",
    "gateway/cli/DOCTOR.md": "how-to/doctor.md",
    "gateway/cli/INIT.md": "how-to/init.md",
    "gateway/cli/REPLAY.md": "how-to/replay.md",
    "gateway/core/README.md": "explanation/core.md",
    "gateway/service/FAILURES.md": "explanation/failures.md",
    "gateway/service/README.md": "explanation/service.md",
    "rating/README.md": "explanation/rating.md",
    "tests/MATRIX.md": "project/matrix.md",
    "tests/guard/README.md": "project/guard.md",
    "tests/lab/faults/README.md": "project/faults.md",
    "tests/load/README.md": "project/benchmarks.md",
    "tests/replay/traces/README.md": "project/traces.md",
    "tests/simulation/world/README.md": "project/simulation.md",
}
_FOLDERS: Final[Mapping[str, str]] = {"config/prometheus/runbooks": "runbooks"}
_PICTURES: Final = frozenset({".png", ".svg"})

_FENCE: Final = re.compile(r"^ *(```|~~~)")
_CODE: Final = re.compile(r"(`+)(?!`).+?(?<!`)\1(?!`)")
_LINK: Final = re.compile(r"(?P<bang>!?)\[(?P<text>(?:`[^`]*`|[^\[\]])*)\]\((?P<target>[^()\s]+)\)")
_ITEM: Final = re.compile(r"^\d\. ")
_OUTSIDE: Final = re.compile(r"^(?:[a-z]+:|//|#)", re.IGNORECASE)


def places() -> dict[str, str]:
    """Each Markdown file that is gathered: its path in the checkout, and on the site."""
    found = {path: site for path, site in _PLACES.items() if (ROOT / path).is_file()}
    for folder, site in _FOLDERS.items():
        for file in sorted((ROOT / folder).glob("*.md")):
            found[f"{folder}/{file.name}"] = f"{site}/{file.name}"
    return found


def absent() -> set[str]:
    """The pages of the site whose file this checkout has not."""
    return set(_PLACES.values()) - set(places().values())


def home_of(site: str) -> str:
    """The path in the checkout of a page of the site, also of one that is made at the build."""
    return {place: path for path, place in places().items()}.get(site, f"{PAGES}/{site}")


def as_mkdocs_reads_it(markdown: str) -> str:
    """The text of a numbered item begins in its fourth column, and what belongs to it too; mkdocs wants it one further.

    And a blank line before the item that follows.
    """
    lines, is_item = list[str](), False
    for line in markdown.split("\n"):
        if is_item and _ITEM.match(line) and lines[-1].startswith("    "):
            lines.append("")
        is_item = bool(_ITEM.match(line)) or (is_item and (not line or line.startswith("   ")))
        lines.append(f" {line}" if is_item and line.startswith("   ") else line)
    return "\n".join(lines)


class Links:
    """Rewrites the links of pages. ``pictures`` is what they show, by path in the checkout and on the site."""

    def __init__(self, made: frozenset[str]) -> None:
        """``made``: pages that are written at the build, by their path on the site."""
        self._sites = places() | {f"{PAGES}/{site}": site for site in made}
        self.pictures: dict[str, str] = {}

    def rewritten(self, markdown: str, site: str) -> str:
        """A page's text with the links of the site; what is code is left alone."""
        lines, is_code = [], False
        for line in markdown.split("\n"):
            if _FENCE.match(line):
                is_code = not is_code
            lines.append(line if is_code else self._line(line, site))
        return "\n".join(lines)

    def _line(self, line: str, site: str) -> str:
        links = [found.span() for found in _LINK.finditer(line)]
        code = [found.span() for found in _CODE.finditer(line)]
        inside = [span for span in links if any(start < span[0] and span[1] < end for start, end in code)]
        return _LINK.sub(lambda found: found[0] if found.span() in inside else self._link(found, site), line)

    def _link(self, found: re.Match[str], site: str) -> str:
        target, _, anchor = found["target"].partition("#")
        if not target or _OUTSIDE.match(target):
            return found[0]
        path = posixpath.normpath(posixpath.join(posixpath.dirname(home_of(site)), target))
        place = self._place(path, site)
        if place is None:
            return self._named(found["text"], path)
        leads = posixpath.relpath(place, posixpath.dirname(site) or ".")
        return f"{found['bang']}[{found['text']}]({leads}{'#' if anchor else ''}{anchor})"

    def _place(self, path: str, site: str) -> str | None:
        for each in (path, posixpath.join(path, "README.md")):
            if each in self._sites:
                return self._sites[each]
        if path.startswith(f"{PAGES}/") and (ROOT / path).is_file():
            return path.removeprefix(f"{PAGES}/")
        if posixpath.splitext(path)[1] in _PICTURES:
            return self.pictures.setdefault(path, f"pictures/{path.replace('/', '-')}")
        if not (ROOT / path).exists():
            raise FileNotFoundError(
                f"a link of {site} leads to {path}, which is neither in the checkout nor made of it"
            )
        return None

    @staticmethod
    def _named(text: str, path: str) -> str:
        """A file that is on no page: its path says where it is."""
        bare = text.replace("`", "")
        if bare.rstrip("/") in {path, posixpath.basename(path)}:
            return f"`{path}`"
        return f"{text} (`{path}`)"
