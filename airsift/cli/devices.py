"""``airsift devices``: the microphones and other inputs of this machine."""

from __future__ import annotations

import enum
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from airsift.cli.common import complain, say
from airsift.cli.rows import Format, Rows
from stream.sinks.format import in_cells, padded, width_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stream.sources.devices import InputDevice

_CHANNELS = {1: "mono", 2: "stereo"}


class Output(enum.StrEnum):
    """How devices are printed."""

    text = "text"
    csv = "csv"
    jsonl = "jsonl"


def devices(
    output: Annotated[Output, typer.Option("--format", help="text, csv or jsonl.")] = Output.text,
) -> None:
    """List the inputs of this machine for `airsift listen`; * is the default.

    Exit code 1 if there is none.
    """
    from stream.sources.devices import InputDevice, input_devices

    found = input_devices()
    if output is Output.text:
        for line in lines_of(found):
            say(line)
    else:
        rows = Rows(Format(output.value), list(InputDevice.__dataclass_fields__))
        for device in found:
            rows.write(asdict(device))
    if not found:
        complain("airsift: this machine has no input; plug in a microphone")
        raise typer.Exit(1)


def lines_of(found: Sequence[InputDevice]) -> list[str]:
    """Return a line for each device: its number, name, sound system and audio."""
    names = [in_cells(device.name) for device in found]
    width = max(map(width_of, names), default=0)
    return [
        f"{'*' if device.is_default else ' '} {device.number:>3}  {padded(name, width)}  "
        f"{device.system}, {audio_of(device)}"
        for device, name in zip(found, names, strict=True)
    ]


def audio_of(device: InputDevice) -> str:
    """Return a device's rate and channels, as ``48 kHz stereo``."""
    channels = _CHANNELS.get(device.channels, f"{device.channels} channels")
    return f"{device.rate / 1000:g} kHz {channels}"
