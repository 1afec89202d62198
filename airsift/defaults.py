"""The defaults of the configuration: configs/default.toml, and no other place.

A section is a class without default values. It states the type and the range of each key; the file
states the value. A key that is in one of them alone is an error when the section is made.
"""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path
from typing import ClassVar, Self

from pydantic import BaseModel, ConfigDict

from airsift.json_types import Json, JsonObject


class Section(BaseModel):
    """A table of the configuration: frozen, and without unknown keys.

    Attributes
    ----------
    table : str
        Its name in the file, as in ``kafka.topics``; a class gives it as ``table=``.
    """

    # Built when it is first used, as the sections within another are not by themselves.
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)
    table: ClassVar[str] = ""

    def __init_subclass__(cls, *, table: str = "") -> None:
        super().__init_subclass__()
        cls.table = table

    @classmethod
    def default(cls, **changes: object) -> Self:
        """Return the defaults, with changes.

        Raises
        ------
        ValueError
            There is no such key, or a value is out of range.
        """
        values: Json = defaults()
        for name in cls.table.split("."):
            assert isinstance(values, dict), cls.table
            values = values[name]
        assert isinstance(values, dict), cls.table
        return cls.model_validate({**values, **changes})


def default_file() -> Path:
    """Return the file with the default of every key."""
    packaged = Path(__file__).with_name("default.toml")
    if packaged.is_file():
        return packaged
    return Path(__file__).parents[1] / "configs" / "default.toml"


@cache
def defaults() -> JsonObject:
    """Read the default of every key."""
    return tomllib.loads(default_file().read_text(encoding="utf-8"))
