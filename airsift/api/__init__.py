"""The Python interface: what `airsift` gives to programs and notebooks.

Its names are those of `airsift.__all__`; `airsift/__init__.py` loads them when they are first used.
"""
