"""What a person has decided on the page, exported there as a table of ``path,decision``."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

from airsift.errors import CatalogueError

if TYPE_CHECKING:
    from pathlib import Path

DECISIONS = ("wrong", "right")


def read_decisions(path: Path) -> dict[str, str]:
    """Return the decision about each file: that its tags are `wrong`, or `right`.

    Parameters
    ----------
    path : Path
        Table with the columns `path`, as the catalogue writes it, and `decision`; others may be
        there. The last row about a file counts; a row without a decision takes it back.

    Raises
    ------
    CatalogueError
        It is no such table.
    """
    decided: dict[str, str] = {}
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            given = reader.fieldnames or ()
            if not {"path", "decision"} <= set(given):
                raise CatalogueError(
                    f"{path}: its columns are {', '.join(given) or 'none'}; it needs `path` and "
                    "`decision`, as the page exports them"
                )
            for row in reader:
                name, decision = row["path"] or "", (row["decision"] or "").strip().lower()
                if decision and decision not in DECISIONS:
                    raise CatalogueError(
                        f"{path}: line {reader.line_num}: decision {decision!r} is unknown; it is "
                        "wrong, right, or nothing"
                    )
                if decision:
                    decided[name] = decision
                else:
                    decided.pop(name, None)
    except (UnicodeDecodeError, csv.Error) as error:
        raise CatalogueError(f"{path}: not a CSV table in UTF-8 ({error}); save it so") from error
    return decided
