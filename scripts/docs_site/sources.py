"""Files of the repository that pages link to, as pages of the site."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING

from mkdocs.structure.files import File

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mkdocs.config.defaults import MkDocsConfig

FOLDER = "source"
_LINK = re.compile(r"(?<!!)(\[[^\]]*\]\()([^)\s]+)(\))")
_FENCE = "`" * 8
# Longer files are named, not shown: nobody reads them in a page.
_MAX_BYTES = 200_000
_LANGUAGES = {"py": "python", "toml": "toml", "yaml": "yaml", "yml": "yaml", "json": "json"}


def links(text: str, where: str, root: Path) -> Iterator[tuple[str, str]]:
    """Yield the links of a page to what is no page, and the path of each in the repository.

    Parameters
    ----------
    text : str
        The page, as Markdown.
    where : str
        Its path in docs/.
    root : Path
        The repository.
    """
    folder = posixpath.dirname(posixpath.join("docs", where))
    for _, target, _ in _LINK.findall(text):
        name = target.partition("#")[0]
        if not name or re.match(r"[a-z]+:", target):
            continue
        path = posixpath.normpath(posixpath.join(folder, name))
        is_page = path.startswith("docs/") and not (root / path).is_dir()
        if not is_page and (root / path).exists():
            yield target, path


def page_of(path: str, root: Path, config: MkDocsConfig) -> File:
    """Return the page that shows a file or folder."""
    full = root / path
    if full.is_dir():
        names = sorted(
            f"{each.relative_to(full)}{'/' if each.is_dir() else ''}"
            for each in full.iterdir()
            if not each.name.startswith((".", "__"))
        )
        body = "\n".join(f"- {_entry(path, name, root)}" for name in names)
    elif full.stat().st_size > _MAX_BYTES:
        body = f"{full.stat().st_size} bytes, in the repository."
    elif full.suffix == ".md":
        body = re.sub(r"\A# .*\n", "", full.read_text(encoding="utf-8"))
        body = _LINK.sub(lambda match: match[1][1:-2], body)
    else:
        language = _LANGUAGES.get(full.suffix[1:], "text")
        body = f"{_FENCE}{language}\n{full.read_text(encoding='utf-8')}\n{_FENCE}"
    return File.generated(config, _uri(path), content=f"# {path}\n\n{body}\n")


def relinked(text: str, where: str, root: Path) -> str:
    """Return a page whose links to what is no page lead to the pages that show it."""
    moved = dict(links(text, where, root))

    def move(match: re.Match[str]) -> str:
        path = moved.get(match[2])
        if path is None:
            return match[0]
        target = posixpath.relpath(_uri(path), posixpath.dirname(where) or ".")
        return f"{match[1]}{target}{match[3]}"

    return _LINK.sub(move, text)


def _uri(path: str) -> str:
    """Return the page's path in docs/; dots would make it another kind of file."""
    return f"{FOLDER}/{path.replace('.', '-')}.md"


def _entry(folder: str, name: str, root: Path) -> str:
    """Return an entry of a folder; the site has what lies in docs/."""
    path = posixpath.join(folder, name)
    if not path.startswith("docs/") or (root / path).is_dir():
        return f"`{name}`"
    target = posixpath.relpath(path.removeprefix("docs/"), posixpath.dirname(_uri(folder)))
    return f"[{name}]({target})"
