"""A sound device without hardware: PulseAudio's null sink, recorded through its monitor.

What `playing` plays is what a PortAudio program records from its default input, if it runs with the
environment that `null_device` gives. PortAudio reads the environment once, so it has to be
another process.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

PROGRAMS = {"pulseaudio": "pulseaudio", "paplay": "pulseaudio-utils", "pactl": "pulseaudio-utils"}
ASOUNDRC = """\
pcm.!default { type pulse }
ctl.!default { type pulse }
"""


def skip_unless_installed() -> None:
    """Skip the test, saying what to install, where the programs are missing."""
    missing = {package for program, package in PROGRAMS.items() if not shutil.which(program)}
    plugins = Path("/usr/lib").glob("*/alsa-lib/libasound_module_pcm_pulse.so")
    if not any(plugins):
        missing.add("libasound2-plugins")
    if not any(Path("/usr/lib").glob("*/libportaudio.so.2")):
        missing.add("libportaudio2")
    if missing:
        pytest.skip(f"no sound device: apt install {' '.join(sorted(missing))}")


@contextmanager
def null_device(folder: Path) -> Iterator[dict[str, str]]:
    """Run a PulseAudio of its own in `folder`; give the environment of its clients."""
    folder.chmod(0o700)
    (folder / "asoundrc").write_text(f"</usr/share/alsa/alsa.conf>\n{ASOUNDRC}")
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PULSE_")}
    environ |= {
        "HOME": str(folder),
        "XDG_RUNTIME_DIR": str(folder),
        "PULSE_RUNTIME_PATH": str(folder),
        "PULSE_SERVER": f"unix:{folder}/socket",
        "PULSE_SINK": "airsift",
        "PULSE_SOURCE": "airsift.monitor",
        "ALSA_CONFIG_PATH": str(folder / "asoundrc"),
    }
    command = ["pulseaudio", "-n", "--daemonize=no", "--exit-idle-time=-1", "--disable-shm=yes"]
    command += ["--use-pid-file=no", "--log-target=stderr", "--log-level=error"]
    command += ["-L", f"module-native-protocol-unix auth-anonymous=1 socket={folder}/socket"]
    command += ["-L", "module-null-sink sink_name=airsift rate=48000"]
    with (folder / "pulse.log").open("wb") as log:
        daemon = subprocess.Popen(command, env=environ, stdout=log, stderr=log)
    try:
        _wait_for(environ, daemon, folder / "pulse.log")
        yield environ
    finally:
        daemon.terminate()
        daemon.wait(60)


@contextmanager
def playing(environ: dict[str, str], sound: Path) -> Iterator[None]:
    """Play a WAV file on the null device while the block runs."""
    player = subprocess.Popen(["paplay", str(sound)], env=environ)
    try:
        yield
    finally:
        player.terminate()
        player.wait(60)


def _wait_for(environ: dict[str, str], daemon: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(600):
        ask = ["pactl", "get-sink-volume", "airsift"]
        if subprocess.run(ask, env=environ, capture_output=True, check=False).returncode == 0:
            return
        if daemon.poll() is not None:
            break
        time.sleep(0.1)
    pytest.fail(f"pulseaudio did not start: {log.read_text()}")
