"""What mkdocs calls while it builds the site: pages are gathered and made, links are rewritten, diagrams are drawn."""

from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from gateway.docs.drawing import with_diagrams_drawn
from gateway.docs.gather import ROOT, Links, places
from gateway.docs.reference import made_pages


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
    for site, text in made.items():
        files.append(File.generated(config, site, content=text))
    for path, site in _Site.links.pictures.items():
        files.append(File.generated(config, site, abs_src_path=str(ROOT / path)))
    config.nav = [_with_runbooks(entry) for entry in config.nav or []]
    return files


def _with_runbooks(entry: Any) -> Any:
    """The menu's line for a folder of gathered pages: all of them."""
    if entry != {"Runbooks": "runbooks/"}:
        return entry
    return {
        "Runbooks": ["runbooks/index.md", *sorted(site for site in places().values() if site.startswith("runbooks/"))]
    }


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Let links lead to pages of the site (those of a page that is made do), and draw diagrams."""
    site = page.file.src_uri
    return with_diagrams_drawn(markdown if site in _Site.made else _Site.links.rewritten(markdown, site))
