"""Every key, variable, command, file and port in the documentation exists.

Named by a page, a manifest, compose.yaml, a comment of a configuration or a message of the code.
"""

from __future__ import annotations

import ast
import re
import shlex
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import yaml
from pydantic import BaseModel

from airsift import config
from airsift.tags.mapping import load_map
from model.experiments import config as experiments
from model.training import config as task
from model.training import loop
from stream.sources.settings import HttpSettings
from stream.stations.entry import read_stations
from tests.shown import blocks, commands, tree

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("docs/**/*.md"), ROOT / "README.md", ROOT / "CHANGELOG.md"])
OTHERS = sorted(
    [
        *(path for pattern in ("configs/*.toml", "deploy/**/*.y*ml", "deploy/**/*.json",
                               "docs/examples/*.py", "docs/*.json") for path in ROOT.glob(pattern)),
        *(ROOT / name for name in ("compose.yaml", "Dockerfile", "Makefile")),
    ]
)  # fmt: skip
TEXTS = {str(path.relative_to(ROOT)): path.read_text() for path in [*PAGES, *OTHERS]}
CODE = {
    str(path.relative_to(ROOT)): path.read_text()
    for package in ("airsift", "stream", "model", "fingerprint")
    for path in sorted((ROOT / package).rglob("*.py"))
}
MARKDOWN = [name for name in TEXTS if name.endswith(".md")]


def tables(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Yield the dotted names of all keys and tables of the settings."""
    for name, field in model.model_fields.items():
        yield f"{prefix}{name}"
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from tables(inner, f"{prefix}{name}.")


KEYS = set(tables(config.Config))
SECTIONS = "|".join(config.Config.model_fields)
# A key is not a part of a path, an address or a longer dotted name.
DOTTED = re.compile(rf"(?<![\w./\\-])((?:{SECTIONS})(?:\.[a-z][a-z0-9_]*)+)(?![\w(/])")
SUFFIXES = {"py", "md", "toml", "pt", "csv", "json", "jsonl", "txt", "log", "wav", "flac", "mp3"}
# What has the form of a key and is something else, in these files.
# Keys of an entry of the list of stations.
_OF_STATIONS = {"alarms.dead_air", "alarms.music_missing", "alarms.speech_long"}
_OF_STATIONS |= {"alarms.speech_missing"}
NOT_KEYS = {
    "docs/alarms.md": _OF_STATIONS,
    "configs/stations.toml": _OF_STATIONS,
    "CHANGELOG.md": set(config.RENAMED),
    "docs/examples/producer.py": {"kafka.errors"},  # kafka-python's
    "stream/kafka/apache_broker.py": {"kafka.server"},  # a class of the broker's
    "stream/snapshot.py": {"identify.playing"},  # a part of a snapshot
}


def unknown_keys(where: str, text: str) -> set[str]:
    """Return what has the form of a key, without keys, files and names of our own modules."""
    found = set()
    for name in set(DOTTED.findall(text)) - KEYS - NOT_KEYS.get(where, set()):
        module = ROOT / "/".join(name.split(".")[:2])
        is_ours = module.is_dir() or module.with_suffix(".py").exists()
        if name.rsplit(".", 1)[-1] not in SUFFIXES and not is_ours:
            found.add(name)
    return found


def test_every_dotted_key_is_one() -> None:
    unknown = {where: unknown_keys(where, text) for where, text in TEXTS.items()}
    assert not {where: names for where, names in unknown.items() if names}


@cache
def strings(where: str) -> tuple[str, ...]:
    """Return the strings of a module that may be shown, f-strings as one; not its docstrings."""
    return tuple(_strings(CODE[where]))


def _strings(text: str) -> Iterator[str]:
    walked = list(ast.walk(ast.parse(text)))
    documented = {
        id(node.body[0].value)
        for node in walked
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    joined = [node for node in walked if isinstance(node, ast.JoinedStr)]
    left_out = documented | {id(part) for node in joined for part in node.values}
    for node in walked:
        if isinstance(node, ast.JoinedStr):
            parts = [part.value if isinstance(part, ast.Constant) else "?" for part in node.values]
            yield "".join(map(str, parts))
        elif isinstance(node, ast.Constant) and id(node) not in left_out:
            yield from [node.value] if isinstance(node.value, str) else []


def test_every_key_that_a_message_names_is_one() -> None:
    """A name that is put together from parts at run time is left out."""
    for where in CODE:
        shown = [text for text in strings(where) if " " in text or "=" in text]
        assert not unknown_keys(where, "\n".join(shown)), where


def test_every_set_is_of_a_key_and_of_a_value_that_it_takes() -> None:
    for found in re.findall(r"--set[ =]([a-z_]+\.[a-z_.]+=\S+)", "\n".join(TEXTS.values())):
        # The values of the Helm chart have the keys under `config`.
        assignment = found.rstrip("`.,;:)'\"").removeprefix("config.")
        if re.search(r"[A-Z]{3,}|\$", assignment):  # a placeholder
            assert assignment.partition("=")[0] in KEYS, assignment
        elif not assignment.startswith("section."):
            config.load(sets=[assignment], environ={})


VARIABLE = re.compile(r"\bAIRSIFT_[A-Z][A-Z0-9_]*")
PATTERNS = {"AIRSIFT_SECTION__KEY", "AIRSIFT_A__B"}


def test_every_variable_of_airsifts_is_a_key() -> None:
    named = VARIABLE.findall("\n".join([*TEXTS.values(), *CODE.values()]))
    keys = {name: name.removeprefix("AIRSIFT_").lower().replace("__", ".") for name in named}
    assert not {name for name, key in keys.items() if key not in KEYS} - PATTERNS


OF_A_TASK = {"docs/own_labels.md"}
OF_AN_EXPERIMENT = {"docs/experiments.md"}
OF_TAGS = {"docs/tags.md"}
OF_STATIONS = {"docs/alarms.md"}


def test_every_toml_shown_is_read(tmp_path: Path) -> None:
    path = tmp_path / "shown.toml"
    for where in MARKDOWN:
        for block in blocks(TEXTS[where], "toml"):
            path.write_text(block)
            if where in OF_A_TASK:
                assert task.load_task(path).labels
            elif where in OF_AN_EXPERIMENT:
                path.write_text(f"{experiments.find('8').read_text()}\n{block}")
                assert experiments.load(path).rows[-1].penalties
            elif where in OF_STATIONS:
                found = read_stations(path, HttpSettings.default())
                assert found.entries
                assert found.problems == ()
            elif where in OF_TAGS:
                load_map(path)
            else:
                config.load(path, environ={})


def test_settings_of_training_are_listed_as_they_are() -> None:
    page = TEXTS["docs/own_labels.md"]
    listed = {
        name for row in re.findall(r"^\| (`[^|]*`) \|", page, re.M)
        for name in re.findall(r"`(\w+)`", row)
    }  # fmt: skip
    assert set(task._File.model_fields) - {"window", "train"} <= listed
    for name in loop.Settings.__dataclass_fields__:
        assert f"`{name}`" in page, name


# Commands


def test_every_command_has_the_options_it_is_shown_with() -> None:
    texts = {name: text for name, text in TEXTS.items() if not name.endswith((".json", ".py"))}
    shown = [(where, words) for where, text in texts.items() for words in commands(text)]
    for where, words in shown:
        rest = [word.rstrip("`,.:;)") for word in words[1:]]
        path: tuple[str, ...] = ()
        while rest and (*path, rest[0]) in tree():
            path += (rest.pop(0),)
        if not path:  # prose that begins with the name
            continue
        if len(path) == 1 and any(len(each) == 2 and each[0] == path[0] for each in tree()):
            # a group of commands, such as `airsift corpus`
            assert not rest or rest[0].startswith("-"), f"{where}: {words}"
        for option in rest:
            if re.fullmatch(r"--[a-z-]+(=.*)?", option):
                assert option.partition("=")[0] in tree()[path], f"{where}: {words}"


def test_every_make_target_is_one() -> None:
    targets = set(re.findall(r"^([a-z-]+):", TEXTS["Makefile"], re.M))
    for where in MARKDOWN:
        shown = [*blocks(TEXTS[where], r"\w*"), *re.findall(r"`([^`\n]+)`", TEXTS[where])]
        named = {name for code in shown for name in re.findall(r"^make ([a-z-]+)", code, re.M)}
        assert named <= targets, where


# Files

FOLDERS = "airsift|stream|model|fingerprint|bench|configs|deploy|docs|scripts|tests"
FILE = re.compile(rf"(?<![\w/.-])((?:{FOLDERS})/[\w./*-]*\w/?)")


def test_every_file_that_is_named_is_there() -> None:
    named = {(where, name) for where, text in TEXTS.items() for name in FILE.findall(text)}
    for where in CODE:
        # Others are names within a catalogue, or content types.
        found = FILE.findall("\n".join(strings(where)))
        named |= {(where, name) for name in found if "." in name.rsplit("/", 1)[-1]}
    files = {name for _, name in named if not (name.count("/") == 1 and name.endswith("/"))}
    missing = {name for name in files if not (ROOT / name).exists() and not any(ROOT.glob(name))}
    assert not {(where, name) for where, name in named if name in missing}


def test_every_link_leads_to_a_file_and_a_heading() -> None:
    links = [
        (where, target)
        for where in MARKDOWN
        for target in re.findall(r"\]\(([^)\s]+)\)", TEXTS[where])
        if not re.match(r"[a-z]+:", target)
    ]
    for where, target in links:
        name, _, anchor = target.partition("#")
        path = ((ROOT / where).parent / name).resolve() if name else ROOT / where
        assert path.exists(), (where, target)
        if anchor and path.suffix == ".md":
            titles = re.findall(r"^#+ (.*)$", path.read_text(), re.M)
            slugs = {re.sub(r"[^\w\- ]", "", t.lower()).strip().replace(" ", "-") for t in titles}
            assert anchor in slugs, (where, target)


# Ports

COMPOSE = yaml.safe_load(TEXTS["compose.yaml"])
PORT = re.compile(r"(?<![\d.])(?:[a-z][\w.-]*|\d+\.\d+\.\d+\.\d+|\[::1\]):(\d{4,5})\b")
# What the images of others listen on, by their documentation.
IMAGES = {"prometheus": "9090", "grafana": "3000"}


def interpolated(text: str) -> str:
    """Put the defaults of variables into a value of compose.yaml."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)


def listened() -> dict[str, set[str]]:
    """Return the ports that each service of compose.yaml listens on in its container."""
    found = {name: {port} for name, port in IMAGES.items()}
    listeners = COMPOSE["services"]["kafka"]["environment"]["KAFKA_LISTENERS"]
    found["kafka"] = set(re.findall(r":(\d+)", listeners))
    found["worker"] = {COMPOSE["services"]["worker"]["environment"]["AIRSIFT_WATCH__PORT"]}
    return found


def test_every_published_port_is_one_that_its_service_listens_on() -> None:
    for name, service in COMPOSE["services"].items():
        for port in service.get("ports", ()):
            assert interpolated(port).rpartition(":")[2] in listened()[name], name


def test_every_port_is_one_that_something_listens_on() -> None:
    published = {
        interpolated(port).split(":")[1]
        for service in COMPOSE["services"].values()
        for port in service.get("ports", ())
    }
    known = published | {port for ports in listened().values() for port in ports}
    defaults = config.load(environ={}).config
    known.add("4318")  # of any collector: OTLP over HTTP
    known |= {defaults.kafka.bootstrap_servers.rpartition(":")[2], str(defaults.web.port)}
    for where, text in TEXTS.items():
        # 9093 is that of the cluster that is there already: TLS.
        is_deployed = where.startswith("deploy/kubernetes") or where == "docs/operating.md"
        others = {"9093"} if is_deployed else set()
        assert set(PORT.findall(interpolated(text))) <= known | others, where


# Compose

SERVICE = re.compile(r"docker compose (?:--profile \w+ )?(?:exec|run|restart|stop|logs) ([^`\n]*)")


def test_every_service_and_profile_that_is_named_is_there() -> None:
    text = "\n".join(TEXTS.values())
    services = COMPOSE["services"]
    for rest in SERVICE.findall(text):
        words = iter(shlex.split(rest.split("#")[0].replace("'", " ")))
        named = next(
            word for word in words
            if not word.startswith("-") and not (word.startswith(("$", "/", "~")) and ":" in word)
        )  # fmt: skip
        assert named in services, rest
    for scaled in re.findall(r"--scale\s(\w+)=", text):
        assert scaled in services
    profiles = {p for service in services.values() for p in service.get("profiles", ())}
    assert set(re.findall(r"--profile\s(\w+)", text)) <= profiles


def test_no_command_of_compose_needs_a_variable_and_each_is_explained() -> None:
    text = TEXTS["compose.yaml"]
    header = text.partition("\nname:")[0]
    body = re.sub(r"^\s*#.*$", "", text, flags=re.M)
    used = re.findall(r"(?<!\$)\$\{?(\w+)([^}\s\"]*)", body)
    assert used
    for name, rest in used:
        assert rest.startswith(":-"), f"{name} has no default"
        assert re.search(rf"^#   {name} ", header, re.M), f"{name} is not in the header"
        assert not name.startswith("AIRSIFT_"), "airsift would take it for a key"


def test_tomls_are_tomls() -> None:
    for path in ROOT.glob("configs/*.toml"):
        assert tomllib.loads(path.read_text())
