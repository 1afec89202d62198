"""``python -m airsift`` is the command ``airsift``."""

from __future__ import annotations

import os
import sys
from os.path import abspath, dirname  # loaded before any code runs, as no other module is

_SUPERVISED = ("run", "worker", "web")  # started and stopped by supervisors


def main() -> None:
    """Run the command line.

    Long-running commands may be signalled to end while they still import libraries.
    """
    try:
        _run()
    except KeyboardInterrupt:  # while libraries are imported: a command itself ends with it too
        sys.exit(130)


def _run() -> None:
    prefer_installed_modules()
    use_one_blas_thread()
    command = next((word for word in sys.argv[1:] if not word.startswith("-")), "")
    if command in _SUPERVISED:
        from airsift.shutdown import exit_on_signals

        exit_on_signals()
    from airsift.cli.app import main as run

    run()


def use_one_blas_thread() -> None:
    """Multiply matrices of numpy in the calling thread, unless the environment says otherwise.

    airsift's are small. The threads of OpenBLAS, which reads the variable once, when numpy is
    imported, mostly wait for each other, and they do so busily: landmarks took three times the CPU.
    Torch has threads of its own.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def prefer_installed_modules() -> None:
    """Import from the working directory and from ``PYTHONPATH`` last.

    Files named ``stream.py``, ``model.py`` or ``json.py`` are common there. The order is: the
    standard library, the folder of this package, other installed packages, the user's folders.
    """
    root, standard = dirname(dirname(abspath(__file__))), dirname(abspath(os.__file__))  # noqa: PTH100, PTH120
    added = [] if sys.flags.safe_path else [sys.path[0]]  # the working or the script's directory
    if not sys.flags.ignore_environment and (named := os.environ.get("PYTHONPATH")):
        added += named.split(os.pathsep)  # an empty entry is the working directory
    foreign = {abspath(folder) for folder in added} - {root, standard}  # noqa: PTH100
    last = [folder for folder in sys.path if abspath(folder) in foreign or not folder]  # noqa: PTH100
    rest = [folder for folder in sys.path if folder not in (*last, root)]
    library = (standard, f"{standard}{os.sep}lib-dynload")
    end = max((at for at, folder in enumerate(rest, 1) if folder in library), default=0)
    sys.path[:] = [*rest[:end], root, *rest[end:], *filter(None, last)]
    for name in sys.stdlib_module_names & sys.modules.keys():
        file = getattr(sys.modules[name], "__file__", None)
        if file and dirname(abspath(file)) in foreign:  # noqa: PTH100, PTH120
            del sys.modules[name]


if __name__ == "__main__":
    main()
