"""The installed wheel, run from any working directory with any content."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from stream.testing import tone, write_wav

pytestmark = pytest.mark.process
ROOT = Path(__file__).parents[2]
PIP = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
# What a pip of any age writes into the script imports `re` and `sys` before airsift.
NAMES = ("stream", "model", "fingerprint", "tests", "json", "logging", "click", "rich", "numpy")
KILLER = "raise SystemExit('{} of the wrong folder')\n"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(ROOT, tmp_path_factory.mktemp("wheels"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheel, and nothing else, into a folder."""
    site = tmp_path_factory.mktemp("site")
    install = [*PIP, "install", "--no-deps", "--no-index", "--target", str(site), str(wheel)]
    subprocess.run(install, check=True, timeout=300)
    return site


def build_wheel(source: Path, folder: Path) -> Path:
    build = [*PIP, "wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", str(folder)]
    subprocess.run([*build, str(source)], check=True, timeout=300)
    (wheel,) = folder.glob("airsift-*.whl")
    return wheel


def run(site: Path, cwd: Path, *arguments: str, module: bool = False, path: str = "") -> str:
    command = [sys.executable, "-m", "airsift"] if module else [str(site / "bin" / "airsift")]
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("AIRSIFT_", "PYTHON"))}
    done = subprocess.run(
        [*command, *arguments],
        cwd=cwd,
        env=inherited | {"PYTHONPATH": f"{site}{path}"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def hostile(folder: Path, names: tuple[str, ...] = NAMES) -> Path:
    folder.mkdir()
    for name in names:
        (folder / f"{name}.py").write_text(KILLER.format(name))
    return folder


def packages(folder: Path) -> Path:
    """Make folders of those names, one of them a package."""
    for name in NAMES:
        (folder / name).mkdir(parents=True)
    for name in ("stream", "model", "json"):
        (folder / name / "__init__.py").write_text(KILLER.format(name))
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("make", [hostile, packages])
def test_the_command_depends_on_no_folder(installed: Path, tmp_path: Path, make) -> None:
    folder = make(tmp_path / "work")
    write_wav(folder / "tone.wav", tone(6, 8000), 8000)
    for path in ("", f":{folder}", ":"):  # left over from other work
        assert "model.path" in run(installed, folder, "config", path=path)
    assert '"tone.wav"' in run(installed, folder, "segment", "tone.wav", path=f":{folder}")


@pytest.mark.parametrize("path", ["", ":"])
def test_python_m_depends_on_no_folder(installed: Path, tmp_path: Path, path: str) -> None:
    # Of a file called airsift.py Python itself makes the command.
    folder = hostile(tmp_path / "work")
    assert "model.path" in run(installed, folder, "config", module=True, path=path)


def test_what_runs_is_what_is_installed(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "airsift").mkdir()
    (tmp_path / "stream.py").write_text(KILLER)
    (installed / "where.py").write_text(
        "import airsift.__main__ as m; m.prefer_installed_modules()\n"
        "import airsift, fingerprint, json, model, stream, tomllib\n"
        "print(*(each.__file__ for each in (airsift, fingerprint, model, stream, json, tomllib)))\n"
    )
    done = subprocess.run(
        [sys.executable, str(installed / "where.py")],
        cwd=tmp_path,
        env={"PYTHONPATH": f":{tmp_path}:{installed}", "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    files = [Path(word) for word in done.stdout.split()]
    assert all(file.is_relative_to(installed) for file in files[:4])
    standard = Path(os.__file__).parent
    assert all(file.is_relative_to(standard) for file in files[4:])


@pytest.mark.slow
def test_processes_that_read_files_depend_on_no_folder(installed: Path, tmp_path: Path) -> None:
    folder = hostile(tmp_path / "work", (*NAMES, "signal", "struct", "pickle", "socket"))
    files = [str(write_wav(folder / f"{number}.wav", tone(6, 8000), 8000)) for number in range(8)]
    code = (
        "import sys\nsys.argv = ['airsift']\n"
        "from airsift.__main__ import prefer_installed_modules\n"
        "if __name__ == '__main__':\n"
        "    prefer_installed_modules()\n"
        "    from pathlib import Path\n"
        "    from airsift.cli.catalogue_read import Read, read_all\n"
        f"    found = list(read_all([Path(f) for f in {files!r}], frozenset(), 2))\n"
        "    print(len(found), {type(each).__name__ for _, each in found})\n"
    )
    script = tmp_path / "read.py"
    script.write_text(code)
    done = subprocess.run(
        [sys.executable, str(script)],
        cwd=folder,
        env={"PYTHONPATH": f"{installed}:{folder}", "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert done.stdout.split()[0] == "8"
    assert "SystemExit" not in done.stderr
    assert "wrong folder" not in done.stderr


@pytest.mark.slow
def test_everything_that_is_shipped_is_found_without_the_repository(
    installed: Path, tmp_path: Path
) -> None:
    code = (
        "import airsift.__main__ as m; m.prefer_installed_modules()\n"
        "from airsift.defaults import default_file\n"
        "from stream.demo.programme import assemble, programmes\n"
        "from model.corpus import sources\n"
        "from model.evaluation import voices\n"
        "from model.experiments import config\n"
        "from model.onnx_backend import OnnxBackend\n"
        "from model.torch_backend import TorchBackend\n"
        "from model.weights import DEFAULT_WEIGHTS, SHIPPED, VOICE_WEIGHTS\n"
        "assert default_file().parent.name == 'airsift', default_file()\n"
        "assert SHIPPED.is_file()\n"
        "for backend in (OnnxBackend(), TorchBackend()):\n"
        "    assert backend.front_end(DEFAULT_WEIGHTS) and backend.classifier(VOICE_WEIGHTS)\n"
        "assert all(map(config.load, map(config.find, '12345678')))\n"
        "assert sources.debian_items() and voices.known_voices()\n"
        "from pathlib import Path\n"
        "from model.training.config import find_task, load_task\n"
        "assert load_task(find_task(Path('voice'))).labels == ('female', 'male')\n"
        "import stream.kafka\n"
        "assert (Path(stream.kafka.__file__).parent / 'schemas' / 'segment.json').is_file()\n"
        "assert all(len(assemble(name).samples) for name in programmes())\n"
    )
    subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(installed), "PATH": os.environ["PATH"]},
        timeout=120,
        check=True,
    )


LIBRARY = """
import math, sys
from pathlib import Path
import airsift
assert Path(airsift.__file__).is_relative_to(sys.argv[1]), airsift.__file__
assert Path(airsift.__file__).with_name("py.typed").is_file()
tone = [0.3 * math.sin(0.2 * n) for n in range(16_000 * 6)]
found = airsift.segment(tone, 16_000)
assert found.duration_s == 6.0 and found, found
assert len(airsift.classify(tone, 16_000)) == 2
with airsift.Catalogue("shelf", create=True) as shelf:
    shelf.add(sys.argv[2], title="Starfall")
    [match] = airsift.segment(sys.argv[2], catalogue=shelf).matches
    assert match.title == "Starfall"
with airsift.Stream(16_000) as stream:
    assert [*stream.events([tone])] == [*found]
print("fine")
"""


@pytest.mark.slow
def test_the_installed_library_works_in_any_folder(installed: Path, tmp_path: Path) -> None:
    song = ROOT / "stream/demo/audio/starfall.opus"
    done = subprocess.run(
        [sys.executable, "-c", LIBRARY, str(installed), str(song)],
        cwd=tmp_path,
        env={"PYTHONPATH": str(installed), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.stdout, done.returncode) == ("fine\n", 0), done.stderr


@pytest.mark.parametrize("make", [hostile, packages])
def test_a_program_with_modules_of_our_names_is_told(
    installed: Path, tmp_path: Path, make: Callable[[Path], Path]
) -> None:
    folder = make(tmp_path / "work")
    for name in ("json", "logging", "numpy"):  # Python itself would fail
        (folder / f"{name}.py").unlink(missing_ok=True)
        shutil.rmtree(folder / name, ignore_errors=True)
    (folder / "program.py").write_text("import airsift\nairsift.segment\n")
    done = subprocess.run(
        [sys.executable, str(folder / "program.py")],
        env={"PYTHONPATH": str(installed), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    last = done.stderr.splitlines()[-1]
    assert last.startswith("ImportError: airsift's package '"), done.stderr
    assert "rename that" in last
    assert str(folder) in last


@pytest.mark.slow
def test_the_source_distribution_builds_the_same_wheel(wheel: Path, tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, timeout=300, capture_output=True)
    (archive,) = tmp_path.glob("airsift-*.tar.gz")
    (tmp_path / "wheels").mkdir()
    again = build_wheel(archive, tmp_path / "wheels")
    assert again.name == wheel.name
    assert contents(again) == contents(wheel)


def contents(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}
