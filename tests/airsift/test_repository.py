"""Conventions of the repository."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path

import pytest

from airsift import __version__, errors
from scripts.release.versions import versions, wrong_versions

ROOT = Path(__file__).parents[2]
PACKAGES = ("airsift", "stream", "model", "fingerprint")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


@cache
def nodes(path: Path) -> tuple[ast.AST, ...]:
    """Return the import statements of a file, wherever in it."""
    walked = ast.walk(ast.parse(path.read_text()))
    return tuple(node for node in walked if isinstance(node, ast.Import | ast.ImportFrom))


def imports(path: Path) -> set[str]:
    """Return the first names of everything a file imports, wherever in it."""
    found = set()
    for node in nodes(path):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found.add((node.module or "").split(".")[0])
    return found


# `airsift` is the application and may import everything; these of its files know nothing of it.
SHARED = {
    "airsift.defaults",
    "airsift.errors",
    "airsift.files",
    "airsift.json_types",
    "airsift.malloc",
    "airsift.toml_text",
    "airsift.__version__",
}
LIBRARIES = {"stream": {"model", "fingerprint"}, "model": set(), "fingerprint": set()}


def modules(path: Path) -> set[str]:
    """Return everything of ours that a file imports while it runs, as dotted names."""
    found = set()
    for node in nodes(path):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {node.module or ""} | {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in found if name.split(".")[0] in (*PACKAGES, "bench")}


def name_of_shared(name):
    return name == "airsift" or name.startswith(tuple(SHARED))


@pytest.mark.parametrize("library", LIBRARIES)
def test_arrows_point_one_way(library):
    files = sorted((ROOT / library).rglob("*.py"))
    assert files
    for path in files:
        if path.is_relative_to(ROOT / "stream" / "demo"):  # an application of its own
            continue
        named = modules(path)
        others = {name.split(".")[0] for name in named} - {library, "airsift"}
        assert others <= LIBRARIES[library], f"{path} imports {others}"
        ours = {name for name in named if name.startswith("airsift")}
        assert not {name for name in ours if not name_of_shared(name)}, path


@pytest.mark.parametrize("name", sorted(SHARED - {"airsift.__version__"}))
def test_what_all_share_imports_nothing_of_ours(name):
    path = ROOT / f"{name.replace('.', '/')}.py"
    assert not {used for used in modules(path) if not name_of_shared(used)}


def test_only_one_file_knows_torchscript():
    users = {
        path.name
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        if re.search(r"torch\.jit\.(load|save|script|trace|freeze)\b", path.read_text())
    }
    assert users == {"classifier.py"}


# What reads and writes bytes, and what a restart must read again, need no client to be tried.
CLIENTLESS = ("codec", "checkpoint", "records")


def test_kafka_begins_in_one_folder():
    for path in (ROOT / "stream").rglob("*.py"):
        if "kafka" in path.parts or "demo" in path.parts:
            continue
        assert "kafka" not in imports(path), path
        assert not {name for name in modules(path) if name.startswith("stream.kafka")}, path


def test_each_client_library_has_a_folder_of_its_own():
    kafka = ROOT / "stream" / "kafka"
    for path in kafka.rglob("*.py"):
        used = imports(path) & {"kafka", "aiokafka", "faust", "mode"}
        folder = path.relative_to(kafka).parts[0]
        if folder == "client":
            assert used <= {"kafka"}, path
        elif folder == "faust":
            assert "kafka" not in used, path
        elif folder in CLIENTLESS:
            assert not used, path
            inner = {n for n in modules(path) if n.startswith("stream.kafka.")}
            assert not {n for n in inner if n.startswith(CLIENTS)}, path


LISTS_OF_PRIVATES = ("client/privates.py", "faust/privates.py")
NAMED_TUPLES = {"_replace", "_fields", "_field_defaults", "_asdict", "_make"}


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name != "_"


def private_names(path: Path) -> list[tuple[str, int]]:
    """Return private names that a file reads from objects other than self, and the lines."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Attribute(value=ast.Name(id="self" | "cls" | "os")):
                continue
            case ast.Attribute(attr=name):
                found.append((name, node.lineno))
            case ast.Call(
                func=ast.Name(id="getattr" | "setattr" | "hasattr"),
                args=[_, ast.Constant(value=name), *_],
            ):
                found.append((name, node.lineno))
    return [(name, line) for name, line in found if is_private(name)]


def own_names(path: Path) -> set[str]:
    """Return names that a file's own classes and functions define."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                found.add(name)
            case ast.Attribute(value=ast.Name(id="self"), attr=name, ctx=ast.Store()):
                found.add(name)
    return found


def test_private_names_of_libraries_stand_in_two_files():
    kafka = ROOT / "stream" / "kafka"
    listed = set()
    for name in LISTS_OF_PRIVATES:
        tree = ast.parse((kafka / name).read_text())
        [table] = [
            ast.literal_eval(node.value)
            for node in tree.body
            if isinstance(node, ast.Assign) and node.targets[0].id == "PRIVATE_NAMES"
        ]
        there = {part for path in table for part in path.split(".") if is_private(part)}
        used = {name for name, _ in private_names(kafka / name)}
        assert used == there, f"{name}: PRIVATE_NAMES differs from what the file uses"
        listed |= there
    for path in kafka.rglob("*.py"):
        if path.relative_to(kafka).as_posix() in LISTS_OF_PRIVATES:
            continue
        ours = (own_names(path) | NAMED_TUPLES) - listed
        for name, line in private_names(path):
            assert name in ours, f"{path}:{line}: {name} belongs into a privates.py"


CLIENTS = ("stream.kafka.client", "stream.kafka.faust")
TRAINING = (
    *(f"model.{part}" for part in ("networks", "corpus", "training", "evaluation", "export")),
    "model.experiments",
    "model.explain",
    "bench",
)
ROOTS = (
    "stream.pipeline",
    "stream.kafka.client.source",
    "stream.kafka.client.sink",
    "stream.kafka.faust.worker",
    "airsift.cli.run",
    "airsift.cli.worker",
)


@pytest.mark.process
@pytest.mark.parametrize("root", ROOTS)
def test_what_a_worker_imports_holds_nothing_of_training(root):
    program = f"import sys, {root}; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    loaded = {name for name in done.stdout.split() if name.startswith(TRAINING)}
    assert not loaded
    assert not {"torch", "torchaudio", "nnAudio", "onnxruntime"} & set(done.stdout.split())


# What takes longer to import than the command line takes to print its help.
HEAVY = {"torch", "torchaudio", "onnxruntime", "nnAudio", "numpy", "scipy", "soxr", "av"}
HEAVY |= {"pydantic", "kafka", "aiokafka", "faust", "sounddevice", "matplotlib", "mutagen"}
HEAVY |= {"sqlalchemy", "alembic", "psycopg", "starlette", "uvicorn", "websockets"}


@pytest.mark.process
def test_the_command_line_imports_nothing_heavy():
    program = "import sys; from airsift.cli.app import make_app; make_app(); print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert not HEAVY & set(done.stdout.split())


@pytest.mark.process
def test_a_command_imports_no_other():
    program = (
        "import sys; from airsift.cli.app import make_app; make_app('segment');print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    commands = {path.stem for path in (ROOT / "airsift/cli").glob("*.py")}
    loaded = {name.removeprefix("airsift.cli.") for name in done.stdout.split()} & commands
    everywhere = {"app", "common", "completion", "everywhere", "exit_codes"}
    assert loaded <= everywhere | {"inputs", "rows", "segment"}


@pytest.mark.process
def test_files_and_their_inputs_need_no_client_of_kafka_and_no_plots():
    roots = "airsift.cli.segment, airsift.url_file, airsift.config, stream.sources.file"
    program = f"import sys, {roots}, stream.runner, stream.sinks.final; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert not {"kafka", "aiokafka", "faust", "sounddevice", "scipy", "matplotlib", "torch"} & set(
        done.stdout.split()
    )


def test_databases_begin_in_one_folder():
    used = {"sqlalchemy", "alembic", "psycopg"}
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            if "history" not in path.parts and path.name != "database.py":
                assert not used & imports(path), path


@pytest.mark.process
@pytest.mark.parametrize("root", ROOTS)
def test_an_engine_without_a_history_imports_no_database(root):
    program = f"import sys, {root}; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert not {"sqlalchemy", "alembic", "psycopg", "sqlite3"} & set(done.stdout.split())


def test_no_test_imports_from_another():
    wrong = re.compile(r"^\s*(?:from|import)\s+[\w.]*\b(?:test_\w+|conftest)\b", re.MULTILINE)
    for path in (ROOT / "tests").rglob("*.py"):
        assert not wrong.search(path.read_text()), path


def test_the_engine_knows_neither_library_that_computes():
    computing = {"torch", "torchaudio", "nnAudio", "onnxruntime"}
    users = {
        path.relative_to(ROOT).as_posix(): imports(path) & computing
        for folder in ("stream", "airsift")
        for path in (ROOT / folder).rglob("*.py")
    }
    training = {
        f"airsift/cli/{name}.py" for name in ("train", "experiment", "explain", "tensorboard")
    }
    assert {path for path, used in users.items() if used} <= training
    assert imports(ROOT / "model" / "onnx_backend.py") & computing == {"onnxruntime"}
    for name in ("backend", "units", "spec", "weights", "short"):
        text = (ROOT / "model" / f"{name}.py").read_text()
        assert not re.search(r"^(import|from) (torch|onnxruntime|nnAudio)", text, re.M), name


@pytest.mark.process
def test_an_import_changes_no_logger():
    program = """
import logging
import stream.kafka.client.sink, stream.kafka.client.source, stream.kafka.faust.worker
libraries = ("kafka", "aiokafka", "faust", "mode")
for name in ["kafka", *logging.root.manager.loggerDict]:
    logger = logging.getLogger(name)
    if name.startswith(libraries):
        assert logger.level == 0 and logger.propagate, logger
        assert all(isinstance(each, logging.NullHandler) for each in logger.handlers), logger
assert not logging.root.handlers
"""
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)


def test_every_error_is_airsifts():
    for name, value in vars(errors).items():
        if isinstance(value, type) and issubclass(value, Exception):
            assert issubclass(value, errors.AirsiftError)
            assert name in (errors.__doc__ or "")


@pytest.mark.process
def test_the_version_is_one():
    assert wrong_versions(ROOT) == []
    assert versions(ROOT)["pyproject.toml"] == {__version__}


def test_the_lock_pins_every_dependency():
    def name(line: str) -> str:
        return re.split(r"[=<>;\[ ]", line)[0].lower().replace("_", "-")

    def pinned(lock: str) -> set[str]:
        lines = [
            line
            for line in (ROOT / lock).read_text().splitlines()
            if line and not line.startswith(("#", "--requirement"))
        ]
        assert all("==" in line for line in lines)
        return {name(line) for line in lines}

    running, developing = pinned("requirements.lock"), pinned("requirements-dev.lock")
    assert not running & developing
    needed = PROJECT["project"]["dependencies"] + PROJECT["build-system"]["requires"]
    assert {name(line) for line in needed} <= running
    extras = PROJECT["project"]["optional-dependencies"]
    assert {name(d) for group in extras.values() for d in group} <= running | developing


def test_make_uses_what_is_there():
    makefile = (ROOT / "Makefile").read_text()
    for path in re.findall(r"\b(?:scripts|bench)/[\w./-]*\w", makefile):
        assert (ROOT / path).exists(), path
    assert "\nmake kafka postgres\n" in (ROOT / ".ci" / "run").read_text()
    assert "\nmake test PYTEST=--require-kafka" in (ROOT / ".ci" / "run").read_text()


def test_the_audio_and_weights_stay_small():
    kinds = {".opus", ".ogg", ".flac", ".mp3", ".wav", ".pt", ".pt2", ".onnx", ".gz"}
    sizes = [
        path.stat().st_size
        for package in (*PACKAGES, "tests", "docs")
        for path in (ROOT / package).rglob("*")
        if path.suffix in kinds
    ]
    assert sum(sizes) <= 20e6
