"""The check of a release: ``python -m scripts.release``, which `make release-check` calls."""
