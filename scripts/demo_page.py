"""Write a page that runs airsift's network in a browser, with all that it needs in one file.

python scripts/demo_page.py dist/airsift.html

The page (docs/demo) runs the ONNX graphs of the shipped network by onnxruntime-web, on a microphone
or a file, and replays the two stations of the demo with what airsift says of them. It needs no
server and asks no other host for anything. onnxruntime-web comes from npm, in the version below,
and is refused if it is another file than that. Its archive is kept beside the page; nothing of it
is in the repository.
"""

from __future__ import annotations

import argparse
import base64
import gzip
import hashlib
import html
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCES = ROOT / "docs" / "demo"
PACKAGE = "onnxruntime-web@1.30.0"
INTEGRITY = (
    "q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
)
RUNTIME, WASM = "ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm"
GRAPHS = ("columns", "embed", "decide", "predict")
BIT_RATE = 32_000


def fetch(folder: Path) -> Path:
    """Return the package's archive in a folder; fetch it with npm if it is not there."""
    folder.mkdir(parents=True, exist_ok=True)
    archive = folder / f"{PACKAGE.replace('@', '-')}.tgz"
    if archive.is_file():
        return archive
    if shutil.which("npm") is None:
        sys.exit(f"npm is not installed; it fetches the package, or put its archive at {archive}")
    command = ["npm", "pack", PACKAGE, "--silent", "--pack-destination", str(folder)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)  # noqa: S603
    return archive


def read_package(archive: Path) -> tuple[str, bytes]:
    """Return the runtime's script and its WebAssembly, after checking that it is the known file."""
    content = archive.read_bytes()
    found = base64.b64encode(hashlib.sha512(content).digest()).decode()
    if found != INTEGRITY:
        sys.exit(f"{archive} is not {PACKAGE}: its SHA-512 is {found}, not {INTEGRITY}")
    with tarfile.open(archive) as package:

        def read(name: str) -> bytes:
            member = package.extractfile(f"package/dist/{name}")
            assert member is not None, name
            return member.read()

        return read(RUNTIME).decode(), read(WASM)


def packed(content: bytes) -> str:
    """Return bytes as text that a page unpacks."""
    return base64.b64encode(gzip.compress(content, 9, mtime=0)).decode()


def model_data() -> dict[str, object]:
    """Return the graphs of the shipped network, what they say of themselves, and the smoothing."""
    from airsift import build, config
    from model.weights import DEFAULT_WEIGHTS, MANIFEST, SPEC_FILE, onnx_file

    with zipfile.ZipFile(onnx_file(DEFAULT_WEIGHTS)) as archive:
        graphs = {name: packed(archive.read(f"{name}.onnx")) for name in GRAPHS}
        spec, manifest = (json.loads(archive.read(name)) for name in (SPEC_FILE, MANIFEST))
    settings = build.smoothing(config.load(environ={}).config, spec["sample_rate"])
    names = ("change_cost", "max_delay", "min_length", "update", "grid", "speech_level",
             "music_level")  # fmt: skip
    smoothing = {name: getattr(settings, name) for name in names}
    return {"graphs": graphs, "spec": spec, "manifest": manifest, "smoothing": smoothing}


def wall() -> list[dict[str, object]]:
    """Return the stations of the demo: their sound, and what airsift says of it."""
    from airsift import build, config
    from stream.audio import AudioChunk
    from stream.demo.catalogue import build_catalogue
    from stream.demo.clips import RATE
    from stream.demo.programme import assemble, programmes
    from stream.kafka.codec.encode import encode_file

    with tempfile.TemporaryDirectory() as folder:
        build_catalogue(Path(folder) / "catalogue")
        sets = [f"identify.catalogue={folder}/catalogue"]
        pipeline = build.build_pipeline(config.load(sets=sets, environ={}).config)
        stations: list[dict[str, object]] = []
        for name in programmes():
            programme = assemble(name)
            chunk = AudioChunk(name, 0, programme.samples, RATE)
            events = [
                event.to_dict()
                for event in pipeline.push([chunk], last=True)
                if getattr(event, "final", True)
            ]
            shown = ("start_s", "end_s", "label", "voice", "artist", "title")

            def of(kind: str, events: list = events, shown: tuple = shown) -> list:  # type: ignore[type-arg]
                found = [each for each in events if each["schema"] == f"airsift.{kind}/1"]
                return [{k: v for k, v in each.items() if k in shown} for each in found]

            stations.append(
                {
                    "title": programme.title,
                    "length_s": len(programme.samples) / RATE,
                    "segments": of("segment"),
                    "songs": of("match"),
                    "audio": base64.b64encode(
                        encode_file(programme.samples, RATE, "opus", BIT_RATE)
                    ).decode(),
                }
            )
        return stations


def page(runtime: str, wasm: bytes) -> str:
    """Return the page."""
    data = json.dumps({"wasm": packed(wasm), "wall": wall(), **model_data()})
    parts = {
        "@ATTRIBUTION@": html.escape((ROOT / "stream/demo/ATTRIBUTION.md").read_text("utf-8")),
        # A "<" in a name must not end a script.
        "@DATA@": data.replace("<", "\\u003c"),
        "@ENGINE@": script(SOURCES / "engine.js"),
        "@PAGE@": script(SOURCES / "page.js"),
        "@RUNTIME@": checked(runtime, RUNTIME),
    }
    text = (SOURCES / "page.html").read_text("utf-8")
    for mark, part in parts.items():
        assert text.count(mark) == 1, mark
        text = text.replace(mark, part)
    return text


def script(path: Path) -> str:
    """Return a script of ours that can stand within a page."""
    return checked(path.read_text("utf-8"), path.name)


def checked(text: str, name: str) -> str:
    """Refuse a script that would end the element it stands in."""
    if "</script" in text.lower() or "<!--" in text:
        sys.exit(f"{name} holds what ends a script in HTML")
    return text


def main() -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("out", type=Path, help="the page")
    options = parser.parse_args()
    sys.path.insert(0, str(ROOT))
    text = page(*read_package(fetch(options.out.parent)))
    options.out.write_text(text, "utf-8")
    print(f"{options.out}: {len(text.encode()) / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
