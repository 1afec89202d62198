"""What a process that works for another one does first. It imports little: this is its start."""

from __future__ import annotations

import logging
import os
import signal
import threading
from multiprocessing import parent_process


class _Complaints(logging.Handler):  # logging asks for one
    """Prints warnings as `airsift.cli.common.Complaints`, which is imported if there are any."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print a record's message as one line."""
        from airsift.cli.common import complain

        complain(f"airsift: {record.getMessage()}")


def start_process(quiet: bool = False, verbose: bool = False) -> None:
    """Prepare this process: it ends with its parent, not by Ctrl-C, and prints as much as it."""
    if quiet or verbose:
        from airsift.cli.common import verbosity

        verbosity.set(quiet=quiet, verbose=verbose)
    else:
        logging.lastResort = _Complaints(logging.WARNING)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def import_engine() -> None:
    """Import what a recording needs, while the parent still reads its configuration."""
    import airsift.api.engine
    import airsift.batch.work
    import airsift.config  # noqa: F401
    import stream.sources.file  # noqa: F401


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
