"""What the packages stream, model and fingerprint share: the version and the errors."""

__version__ = "0.1.0"
