"""Say in one line if this Python is too old, or has no venv."""

import importlib.util
import sys

if importlib.util.find_spec("ensurepip") is None:
    sys.exit("python3 has no venv; on Debian: apt-get install python3-venv")
