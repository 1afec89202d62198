"""What a stored result was made of: keys of content and code, and one builder at a time.

A result is kept under a key: a hash of the contents it was computed from, of the code that computed
it and of the versions of the libraries. Names and times of files are in no key, so a file that is
edited, replaced or moved counts by what is in it.
"""

from __future__ import annotations

import ast
import fcntl
import hashlib
import importlib.util
import json
from contextlib import contextmanager
from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from airsift.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

UNFINISHED = "unfinished"
_LOCK = ".lock"


def key_of(*values: Any) -> str:
    """Return a hash of plain values: numbers, text, lists and tables of them."""
    text = json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def hash_of(data: bytes) -> str:
    """Return the SHA-256 of some bytes, in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


@cache
def code_version(*modules: str) -> str:
    """Return a hash of the code of modules, and of all code of their package that they import.

    Comments, docstrings and layout do not count: what they change computes the same.
    """
    found: dict[str, str] = {}
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        tree = ast.parse(_source(name))
        waiting += sorted(_imported(tree, name.partition(".")[0]))
        found[name] = hash_of(ast.dump(_stripped(tree)).encode())
    return key_of(found)


def libraries(*names: str) -> dict[str, str]:
    """Return the versions of installed libraries."""
    return {name: version(name) for name in sorted(names)}


@contextmanager
def building(folder: Path, report: Callable[[str], None]) -> Iterator[None]:
    """Be the only one that builds in a folder; another one is waited for."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / _LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            report(f"another command is building {folder}: waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        for partial in [*folder.glob("*.partial"), *folder.glob("*/*.partial")]:
            partial.unlink(missing_ok=True)
        yield


@contextmanager
def changing(folder: Path) -> Iterator[None]:
    """Mark a folder while its parts do not fit each other; see `check_whole`.

    The mark stays if what is done does not come to its end, in whatever way.
    """
    (folder / UNFINISHED).touch()
    yield
    (folder / UNFINISHED).unlink()


def check_whole(folder: Path) -> None:
    """Refuse a folder that is being built, or in which a build did not come to its end.

    Raises
    ------
    ConfigError
        With what to do.
    """
    if (folder / UNFINISHED).exists():
        raise ConfigError(
            f"{folder} is being built, or a build of it was interrupted: wait for it, or run the "
            "same `airsift corpus build` again"
        )


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Be the only training in a folder.

    Raises
    ------
    ConfigError
        Another one runs there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / _LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(
                f"another training runs in {folder}: wait for it, or name another folder"
            ) from None
        yield


def _source(name: str) -> str:
    spec = importlib.util.find_spec(name)
    loader: Any = spec.loader if spec else None
    source = loader.get_source(name) if loader else None
    if source is None:
        raise ConfigError(
            f"the source of the module {name} is not installed, so nobody can tell whether a "
            "cache is of this version: install airsift from its wheel or its repository"
        )
    return str(source)


def _imported(tree: ast.Module, package: str) -> set[str]:
    """Return the modules of a package that are imported anywhere but for type checking."""
    found = set()
    for node in _running(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module == package:
            found |= {f"{package}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return {name for name in found if name.startswith(f"{package}.")}


def _running(node: ast.AST) -> Iterator[ast.AST]:
    """Yield all nodes beneath one, but for what only type checkers read."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            continue
        yield child
        yield from _running(child)


def _stripped(tree: ast.Module) -> ast.Module:
    """Return a module without its docstrings."""
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
            value = body[0].value
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                body[0] = ast.Pass()
    return tree
