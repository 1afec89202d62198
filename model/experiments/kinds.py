"""The kinds of experiment: what a file of configs/experiments may describe.

A file with ``[[rows]]`` is a table of rows, each of which is trained. One with ``[changes]``
compares two rows of such a table under changes of the test windows. The name decides nothing. ::

    FOLDER/SCALE/NAME/
      table.md, table.json, curves.png   what a run found, as text, as values and as a picture
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from airsift.errors import ConfigError
from airsift.files import write_whole
from model.corpus import cache
from model.experiments import (
    config,
    invariances,
    invariances_table,
    runner,
    table,
    table_figure,
)
from model.training import plot

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from airsift.json_types import JsonObject
    from model.experiments.config import Experiment, Scale, Statement
    from model.experiments.invariances import Comparisons
    from model.experiments.runner import Place, RowResults, Watcher

TEXT, VALUES, PICTURE = "table.md", "table.json", "curves.png"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run found.

    Parameters
    ----------
    text : str
        A section of a page in Markdown: heading, question, table, and a line on the finding.
    values : JsonObject
        The same for programs; has ``verdict``, see `model.experiments.table.Verdict`.
    """

    text: str
    values: JsonObject


class Study(Protocol):
    """An experiment of any kind."""

    @property
    def name(self) -> str:
        """The name of its file."""
        ...

    @property
    def title(self) -> str:
        """For its page."""
        ...

    @property
    def finding(self) -> Statement:
        """What it is about."""
        ...

    @property
    def trained(self) -> Experiment:
        """The rows that it needs trained."""
        ...

    def run(
        self, place: Place, report: Callable[[str], None], watcher: Watcher | None = None
    ) -> Outcome:
        """Train and measure what is missing.

        Raises
        ------
        ConfigError
            As for `model.experiments.runner.run`. What was done stays.
        """
        ...

    def so_far(self, place: Place, report: Callable[[str], None]) -> Outcome | None:
        """Return what can be said of it without training; None if that is nothing."""
        ...

    def draw(self, values: Mapping[str, Any], place: Place, image: Path) -> None:
        """Draw the values of an outcome as a PNG."""
        ...


@dataclass(frozen=True, slots=True)
class TableOfRows:
    """An experiment that trains rows, and compares their figures."""

    trained: Experiment

    @property
    def name(self) -> str:
        """See `Study`."""
        return self.trained.name

    @property
    def title(self) -> str:
        """See `Study`."""
        return self.trained.title

    @property
    def finding(self) -> Statement:
        """See `Study`."""
        return self.trained.finding

    def run(
        self, place: Place, report: Callable[[str], None], watcher: Watcher | None = None
    ) -> Outcome:
        """See `Study`."""
        return self._outcome(runner.run(self.trained, place, report, watcher))

    def so_far(self, place: Place, report: Callable[[str], None]) -> Outcome | None:
        """See `Study`: a table of the rows with a finished training."""
        found = runner.done(self.trained, place, report)
        return self._outcome(found) if found else None

    def draw(self, values: Mapping[str, Any], place: Place, image: Path) -> None:
        """See `Study`: F of each row beside the report's, and the curves of the trainings."""
        trainings = {
            row.name: folder
            for row in self.trained.rows
            if row.layers is not None
            for folder in [runner.training_folder(self.trained, row, 1, place.folder, place.scale)]
            if folder is not None
        }
        table_figure.draw(values["rows"], trainings, image)

    def _outcome(self, rows: list[RowResults]) -> Outcome:
        return Outcome(table.markdown(self.trained, rows), table.as_json(self.trained, rows))


@dataclass(frozen=True, slots=True)
class UnderChanges:
    """A comparison of two rows under changes of the test windows."""

    of: Comparisons

    @property
    def name(self) -> str:
        """See `Study`."""
        return self.of.name

    @property
    def title(self) -> str:
        """See `Study`."""
        return self.of.title

    @property
    def finding(self) -> Statement:
        """See `Study`."""
        return self.of.finding

    @property
    def trained(self) -> Experiment:
        """See `Study`: the two rows."""
        return self.of.experiment

    def run(
        self, place: Place, report: Callable[[str], None], watcher: Watcher | None = None
    ) -> Outcome:
        """See `Study`."""
        measured = invariances.run(self.of, place, report, watcher)
        return Outcome(
            invariances_table.markdown(self.of, measured),
            invariances_table.as_json(self.of, measured),
        )

    def so_far(self, place: Place, report: Callable[[str], None]) -> Outcome | None:
        """See `Study`: nothing, because the finding is about all changes together."""
        return None

    def draw(self, values: Mapping[str, Any], place: Place, image: Path) -> None:
        """See `Study`: accuracy over the amount of each change."""
        invariances_table.draw(self.of, values, image)


def _table_of_rows(path: Path, scale: Scale) -> Study:
    return TableOfRows(config.load(path))


def _under_changes(path: Path, scale: Scale) -> Study:
    return UnderChanges(invariances.load(path, scale))


# By the table of the file that only this kind has.
KINDS: Mapping[str, Callable[[Path, Scale], Study]] = {
    "rows": _table_of_rows,
    "changes": _under_changes,
}


def read(path: Path, scale: Scale) -> Study:
    """Read an experiment of the kind that its file says.

    Raises
    ------
    ConfigError
        The file says none, or more than one; or as for the kind's own `load`.
    """
    values = config.raw(path)
    found = [mark for mark in KINDS if mark in values]
    if len(found) != 1:
        raise ConfigError(
            f"{path} has {'both' if found else 'neither'} [[rows]] {'and' if found else 'nor'} "
            "[changes]: an experiment has rows to train, or changes under which rows of another "
            "one are compared"
        )
    return KINDS[found[0]](path, scale)


def write(study: Study, outcome: Outcome, place: Place, report: Callable[[str], None]) -> str:
    """Write an outcome into its folder, and return the text; wait while another command does so."""
    home = place.folder / study.name
    text = outcome.text
    with cache.building(home, report):
        if plot.can_draw():
            study.draw(outcome.values, place, home / PICTURE)
            text += f"\n![{study.title}]({PICTURE})\n"
        write_whole(home / VALUES, json.dumps(outcome.values, indent=1).encode())
        write_whole(home / TEXT, text.encode())
    return text
