"""The inputs of this machine as PortAudio lists them, and the one that is meant.

A number counts as long as nothing is plugged in or out; a name lasts. So who listens for long asks
for `lasting_name`, and finds the same input again after it was unplugged.
"""

from __future__ import annotations

import os
import re
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypedDict

from airsift.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

# ALSA names the card behind a device by a number, which is another one after it was plugged in
# again.
_CARD = re.compile(r"\s*\(hw:[^)]*\)$")


class DeviceInfo(TypedDict):
    """What is used of PortAudio's facts about a device."""

    index: int
    name: str
    hostapi: int
    default_samplerate: float
    max_input_channels: int


@dataclass(frozen=True, slots=True)
class InputDevice:
    """An input of this machine.

    Parameters
    ----------
    number : int >= 0
        PortAudio's, until something is plugged in or out.
    name : str
        The device's.
    system : str
        The sound system that lends it, such as ALSA or Core Audio.
    channels : int > 0
        How many it has.
    rate : int > 0
        Its default, in samples per second.
    is_default : bool
        Whether it is used where none is named.
    """

    number: int
    name: str
    system: str
    channels: int
    rate: int
    is_default: bool


def input_devices() -> list[InputDevice]:
    """Return the inputs of this machine, in order of number.

    Raises
    ------
    SourceError
        PortAudio is missing.
    """
    with without_chatter():
        sounddevice = load_portaudio()
        known = sounddevice.query_devices()
        systems = [str(each["name"]) for each in sounddevice.query_hostapis()]
        default = -1
        with suppress(SourceError):  # there may be no input at all
            default = find_device(sounddevice, "")["index"]
    return [
        InputDevice(
            info["index"],
            str(info["name"]),
            systems[info["hostapi"]],
            info["max_input_channels"],
            round(info["default_samplerate"]),
            info["index"] == default,
        )
        for info in known
        if info["max_input_channels"] > 0
    ]


def find_device(sounddevice: ModuleType, device: str) -> DeviceInfo:
    """Return PortAudio's information about an input.

    Parameters
    ----------
    sounddevice : module
        See `load_portaudio`.
    device : str
        Its number, its name or parts of it in their order; empty for the default.

    Raises
    ------
    SourceError
        There is none, or more than one has these parts.
    """
    asked = int(device) if device.isdecimal() else device or None
    try:
        info: DeviceInfo = sounddevice.query_devices(asked, "input")
    except (sounddevice.PortAudioError, ValueError) as error:
        known = sounddevice.query_devices()
        inputs = [f"{d['index']} {d['name']}" for d in known if d["max_input_channels"] > 0]
        hint = "choose from: " + "; ".join(inputs) if inputs else "this machine has no input"
        reason = " ".join(str(error).split())
        raise SourceError(
            f"microphone {device or 'default'}: no such input ({reason}); {hint}"
        ) from error
    return info


def lasting_name(device: str) -> str:
    """Return what finds the same input again after it was unplugged.

    Parameters
    ----------
    device : str
        What finds it now, see `find_device`; empty for the default, which stays what the system
        says it is.

    Raises
    ------
    SourceError
        It is not found now.
    """
    sounddevice = load_portaudio()
    found = find_device(sounddevice, device)
    if not device:
        return ""
    name = str(found["name"])
    for lasting in (_CARD.sub("", name), name):
        try:
            if lasting and find_device(sounddevice, lasting)["index"] == found["index"]:
                return lasting
        except SourceError:  # another one has this name too
            continue
    return device


def load_portaudio() -> ModuleType:
    """Return sounddevice, which looks for devices where it is loaded for the first time.

    Raises
    ------
    SourceError
        PortAudio is missing.
    """
    try:
        import sounddevice
    except OSError as error:
        raise SourceError(
            f"microphone: {error}; install PortAudio (on Debian: apt install libportaudio2)"
        ) from error
    module: ModuleType = sounddevice
    return module


@contextmanager
def without_chatter() -> Iterator[None]:
    """Hide the output of ALSA and JACK while they search for devices."""
    terminal = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(terminal, 2)
        os.close(terminal)
        os.close(nowhere)
