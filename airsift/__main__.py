"""``python -m airsift`` is the command ``airsift``."""

from __future__ import annotations

import sys

_RESTARTED = ("run", "worker")  # started and stopped by supervisors


def main() -> None:
    """Run the command line.

    What runs for months may be told to end while it still imports its libraries.
    """
    command = next((word for word in sys.argv[1:] if not word.startswith("-")), "")
    if command in _RESTARTED:
        from stream.patience import end_at_once_on_signals

        end_at_once_on_signals()
    from stream.cli.app import main as run

    run()


if __name__ == "__main__":
    main()
