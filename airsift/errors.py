"""Every error airsift raises on purpose.

::

    AirsiftError
    ├── ConfigError      a configuration key or value
    ├── DecodeError      bytes that are not the audio they should be
    ├── SpecMismatch     a model file that does not fit what it is used with
    ├── CatalogueError   a fingerprint catalogue on disk
    ├── SourceError      a source that cannot be opened or has died
    ├── BrokerError      a Kafka broker that is not there or refuses
    └── Backpressure     a sink that cannot take more just now

A message names the value, the rule it breaks and the way out, in one line. The command
line prints that line and exits with 1; a traceback is shown only with ``--debug``.
"""


class AirsiftError(Exception):
    """Base of every error airsift raises on purpose."""


class ConfigError(AirsiftError):
    """A configuration key or value is unknown or out of range."""


class DecodeError(AirsiftError):
    """Bytes are not the audio their name, header or container says."""


class SpecMismatch(AirsiftError):
    """A model file does not fit the data or the front end it is used with."""


class CatalogueError(AirsiftError):
    """A fingerprint catalogue is missing, damaged or of another version."""


class SourceError(AirsiftError):
    """A source cannot be opened, or ended without being asked to."""


class BrokerError(AirsiftError):
    """A Kafka broker is not there, or refuses what is asked of it."""


class Backpressure(AirsiftError):
    """A sink cannot take more now.

    Parameters
    ----------
    message : str
        What is full, and why.
    retry_after_s : float >= 0
        Seconds after which writing the same events again makes sense.
    """

    def __init__(self, message: str, *, retry_after_s: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
