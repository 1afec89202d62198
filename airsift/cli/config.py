"""``airsift config``: the merged configuration, and where each value came from."""

from __future__ import annotations

from airsift.cli.common import ConfigOption, SetOption, load_layers, say
from stream.lines import to_json


def show(config: ConfigOption = None, sets: SetOption = None) -> None:
    """Print every key, its value and where the value came from."""
    from airsift import config as configuration

    loaded = load_layers(config, sets)
    values = dict(configuration.flatten(loaded.config.model_dump(mode="json")))
    width = max(len(key) for key in values)
    for key, value in values.items():
        origin = loaded.origins.get(key, configuration.DEFAULT_LAYER)
        say(f"{key:{width}} = {to_json(value):28} # {origin}")
