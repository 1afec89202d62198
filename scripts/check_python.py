"""Say in one line if this Python is too old, or has no venv."""

import importlib.util
import sys

if sys.version_info < (3, 11):
    sys.exit(f"python3 is {sys.version.split()[0]}; airsift needs 3.11: use make PYTHON=python3.11")
if importlib.util.find_spec("ensurepip") is None:
    sys.exit("python3 has no venv; on Debian: apt-get install python3-venv")
