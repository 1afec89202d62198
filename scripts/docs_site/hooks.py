"""What `make docs` adds to the pages under docs/: references from the code, and linked files.

A page with a line such as ``<!-- generated: commands -->`` gets there what the code says, and
``<!-- included: CHANGELOG.md -->`` a file of the repository. A link to a file or folder outside
docs/ leads to a page that shows it, so that the site is complete without the repository.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING

import commands
import configuration
import schemas
import sources
from mkdocs.exceptions import PluginError

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

GENERATORS = {
    "commands": commands.markdown,
    "configuration": configuration.markdown,
    "schemas": schemas.markdown,
}
_MARK = re.compile(r"^<!-- (generated|included): ([\w./-]+) -->$", re.M)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add a page for each linked file or folder that is no page."""
    root = Path(config.config_file_path).parent
    wanted: set[str] = set()
    for file in files.documentation_pages():
        text = _filled(file.content_string, root, file.src_uri)
        wanted |= {path for _, path in sources.links(text, file.src_uri, root)}
    for path in sorted(wanted):
        files.append(sources.page_of(path, root, config))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Fill the marks of a page in, and lead its links to pages of the site."""
    root = Path(config.config_file_path).parent
    if page.file.src_uri.startswith(sources.FOLDER):
        return markdown
    return sources.relinked(_filled(markdown, root, page.file.src_uri), page.file.src_uri, root)


def _filled(text: str, root: Path, where: str) -> str:
    def fill(match: re.Match[str]) -> str:
        kind, name = match.groups()
        if kind == "included":
            return _included(root / name, where)
        if name not in GENERATORS:
            known = ", ".join(sorted(GENERATORS))
            raise PluginError(f"{where}: nothing generates {name!r}; there is {known}")
        return GENERATORS[name]()

    return _MARK.sub(fill, text)


def _included(path: Path, where: str) -> str:
    """Return a file without its title; its links are made relative to the page."""
    text = re.sub(r"\A# .*\n", "", path.read_text(encoding="utf-8"))
    folder = posixpath.dirname(posixpath.join("docs", where))

    def move(match: re.Match[str]) -> str:
        target = match[1]
        if re.match(r"[a-z]+:|#", target):
            return match[0]
        return f"]({posixpath.relpath(target, folder)})"

    return re.sub(r"\]\(([^)\s]+)\)", move, text)
