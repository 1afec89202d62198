"""Measure the fingerprint matcher; all of it is in `_fingerprint.py`."""

import sys

# This file has the name of the package it measures: look for modules in its folder last.
sys.path.append(sys.path.pop(0))

if __name__ == "__main__":
    from _fingerprint import main

    main()
