"""The stored answers of each peer, by the hash of the file that it was asked about.

``WORK/answers/ADAPTER-VERSION.jsonl`` has one line for each answer; the version is a hash of the
adapter and of what it installs, and for airsift of its code and model. A file that was asked once
is not asked again, in whatever folder it lies.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from bench.peers.environments import ONE_THREAD, Peer, install

if TYPE_CHECKING:
    from bench.peers.windows import Known

HERE = Path(__file__).parent
ROOT = HERE.parents[1]

Answer = dict[str, float | list[tuple[float, float]]]


@dataclass
class Answers:
    """The answers of a peer, by key of the file.

    Parameters
    ----------
    labels : list of str
        Labels that the peer has.
    how : str
        Its mode.
    programmes : bool
        Whether it answers for whole programmes.
    by_key : dict
        Its answers.
    timing : dict
        Number of timed windows, CPU seconds, memory, load and date; empty if it was never timed.
    """

    labels: list[str] = field(default_factory=list)
    how: str = ""
    programmes: bool = False
    by_key: dict[str, Answer] = field(default_factory=dict)
    timing: dict[str, float | str | None] = field(default_factory=dict)


def read_answers(path: Path) -> Answers:
    """Read stored answers; a last line that was cut off is removed from the file."""
    found = Answers()
    if not path.exists():
        return found
    data = path.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    if whole != data:
        path.write_bytes(whole)
    for line in whole.decode().splitlines():
        entry = json.loads(line)
        if "about" in entry:
            for name, value in entry["about"].items():
                setattr(found, name, value)
        elif "timing" in entry:
            found.timing = entry["timing"]
        else:
            found.by_key[entry["key"]] = entry["answer"]
    return found


def ask(
    name: str, peer: Peer, known: Known, work: Path, timed: int, environment: dict[str, str]
) -> Answers:
    """Return the answers of a peer for every file, stored or new.

    Parameters
    ----------
    name, peer : str, Peer
        The peer.
    known : Known
        What to ask.
    work : Path
        Folder of environments and answers.
    timed : int
        Windows to time; 0: nothing is timed, and the last stored time is used.
    environment : dict
        Variables for the adapter, beside `ONE_THREAD`.
    """
    path = work / "answers" / f"{peer.adapter}-{version(peer, environment)}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    have = read_answers(path)
    asked = {
        "windows": {each.key: str(each.path) for each in known.windows},
        "programmes": {
            each.key: str(each.path)
            for each in known.programmes
            if have.programmes or not have.labels
        },
    }
    lists: dict[str, object] = {
        kind: {key: place for key, place in files.items() if key not in have.by_key}
        for kind, files in asked.items()
    }
    step = max(len(known.windows) // max(timed, 1), 1)
    lists["timed"] = {
        "windows": [str(each.path) for each in known.windows[::step][:timed]],
        "programmes": [str(each.path) for each in known.programmes[: 1 if timed else 0]],
    }
    if lists["windows"] or lists["programmes"] or timed:
        count = len(lists["windows"])  # type: ignore[arg-type]
        print(f"{name}: {count} new windows", file=sys.stderr, flush=True)
        python = install(peer, work / "environments" / peer.adapter)
        listed = path.with_suffix(".list").resolve()
        listed.write_text(json.dumps(lists))
        command = [python, "-m", f"bench.peers.adapters.{peer.adapter}", listed, path.resolve()]
        variables = {**os.environ, **ONE_THREAD, **environment}
        subprocess.run(command, env=variables, cwd=ROOT, check=True)
        listed.unlink()
        have = read_answers(path)
    return have


def version(peer: Peer, environment: dict[str, str]) -> str:
    """Return a hash of all that a peer's answers depend on, apart from the files."""
    digest = hashlib.sha256(repr(peer.installs).encode())
    digest.update((HERE / "adapters" / f"{peer.adapter}.py").read_bytes())
    ours = [path for pattern in peer.code for path in sorted(ROOT.glob(pattern))]
    named = [Path(environment[name]) for name in peer.files if environment.get(name)]
    for part in (*ours, *named):
        digest.update(part.read_bytes())
    return digest.hexdigest()[:16]
