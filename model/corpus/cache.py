"""Keys of stored results; locks and worker processes of their builders.

The key of a result is a hash of its inputs, of the code that computes it and of the versions of the
libraries. Names and times of files are not part of a key: only their content counts.
"""

from __future__ import annotations

import ast
import fcntl
import hashlib
import importlib.util
import json
import multiprocessing
import os
import threading
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import cache
from importlib.abc import InspectLoader
from importlib.metadata import version
from typing import TYPE_CHECKING

from airsift.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


UNFINISHED = "unfinished"
_LOCK = ".lock"


def key_of(*values: object) -> str:
    """Return a hash of JSON values."""
    text = json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def hash_of(data: bytes) -> str:
    """Return the SHA-256 of some bytes, in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


@cache
def code_version(*modules: str) -> str:
    """Return a hash of the code of modules, and of all modules of their package that they import.

    Comments, docstrings and layout do not count.
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
    """Lock a folder for a build; wait for another build that holds the lock."""
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
    """Mark a folder as inconsistent while its files change; see `check_whole`.

    The mark stays if the change is interrupted.
    """
    (folder / UNFINISHED).touch()
    yield
    (folder / UNFINISHED).unlink()


def check_whole(folder: Path) -> None:
    """Refuse a folder with an unfinished build.

    Raises
    ------
    ConfigError
        A build is running or was interrupted.
    """
    if (folder / UNFINISHED).exists():
        raise ConfigError(
            f"{folder} is being built, or a build of it was interrupted: wait for it, or run the "
            "same `airsift corpus build` again"
        )


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Lock a folder for a training.

    Raises
    ------
    ConfigError
        Another training runs there.
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


def worker_pool(workers: int) -> ProcessPoolExecutor:
    """Return a process pool whose processes do not outlive this one.

    Otherwise a worker of a killed build would keep the build's lock for ever, or write its result
    into the next build.
    """
    return ProcessPoolExecutor(workers, initializer=_end_with_parent)


def _end_with_parent() -> None:
    threading.Thread(target=_watch, daemon=True).start()


def _watch() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _source(name: str) -> str:
    spec = importlib.util.find_spec(name)
    loader = spec.loader if spec else None
    source = loader.get_source(name) if isinstance(loader, InspectLoader) else None
    if source is None:
        raise ConfigError(
            f"the source of the module {name} is not installed, so the key of "
            "a cache cannot be computed: install airsift from its wheel or its repository"
        )
    return source


def _imported(tree: ast.Module, package: str) -> set[str]:
    """Return the modules of a package that are imported, except for type checking."""
    found = set()
    for node in _running(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            # `from package import name` imports a module or a name of the package.
            found |= {
                name
                for alias in node.names
                if node.module.partition(".")[0] == package
                and _is_module(name := f"{node.module}.{alias.name}")
            }
    return {name for name in found if name.startswith(f"{package}.")}


@cache
def _is_module(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def _running(node: ast.AST) -> Iterator[ast.AST]:
    """Yield all nodes beneath one, except blocks for type checking."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            continue
        yield child
        yield from _running(child)


def _stripped(tree: ast.Module) -> ast.Module:
    """Remove the docstrings of a module."""
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
            value = body[0].value
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                body[0] = ast.Pass()
    return tree
