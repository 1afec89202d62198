"""The application: command line, configuration, and the errors that all packages share."""

__version__ = "0.1.0"
