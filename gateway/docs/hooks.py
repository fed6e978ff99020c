"""What mkdocs calls while it builds the site: pages are gathered and made, links are rewritten, diagrams are drawn."""

from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from gateway.docs.drawing import with_diagrams_drawn
from gateway.docs.gather import ROOT, Links, absent, as_mkdocs_reads_it, places
from gateway.docs.reference import made_pages

RUNBOOKS = "runbooks/"


class _Site:
    """What one build has gathered."""

    made: frozenset[str] = frozenset()
    links: Links = Links(made)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the Markdown that stands beside the code, and the pages that are made of the code."""
    made = made_pages()
    _Site.made = frozenset(made)
    _Site.links = Links(_Site.made)
    for path, site in places().items():
        files.append(File.generated(config, site, content=(ROOT / path).read_text("utf-8")))
    # Links are read here already, since only a picture that is known by now is copied.
    for file in list(files.documentation_pages()):
        _Site.links.rewritten(file.content_string, file.src_uri)
    for site, text in {**made, **_by_name_of_the_file()}.items():
        files.append(File.generated(config, site, content=text))
    for path, site in _Site.links.pictures.items():
        files.append(File.generated(config, site, abs_src_path=str(ROOT / path)))
    missing = absent()
    config.nav = [_menu(entry, missing) for entry in config.nav or []]
    return files


def _by_name_of_the_file() -> dict[str, str]:
    """Alerts and dashboards name a runbook by its Markdown file, as forges have it: here that leads to its page."""
    found = {}
    for site in places().values():
        if site.startswith(RUNBOOKS):
            page = site.removeprefix(RUNBOOKS).removesuffix(".md")
            found[f"{site}/index.html"] = (
                f'<!doctype html><meta charset="utf-8"><title>{page}</title>'
                f'<meta http-equiv="refresh" content="0; url=../{page}.html"><a href="../{page}.html">{page}</a>\n'
            )
    return found


def _menu(entry: Any, missing: set[str]) -> Any:
    """The menu without pages whose file is not here, and with each page of a gathered folder."""
    if not isinstance(entry, dict):
        return entry
    ((title, below),) = entry.items()
    if isinstance(below, list):
        return {title: [_menu(each, missing) for each in below if not _is_missing(each, missing)]}
    if below == RUNBOOKS:
        return {title: ["runbooks/index.md", *sorted(site for site in places().values() if site.startswith(below))]}
    return entry


def _is_missing(entry: Any, missing: set[str]) -> bool:
    return isinstance(entry, dict) and any(isinstance(below, str) and below in missing for below in entry.values())


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Let links lead to pages of the site (those of a page that is made do), and draw diagrams."""
    site = page.file.src_uri
    if site not in _Site.made:
        markdown = as_mkdocs_reads_it(_Site.links.rewritten(markdown, site))
    return with_diagrams_drawn(markdown)
