"""``python -m airsift`` is the command ``airsift``."""

from stream.cli.app import main

main()
