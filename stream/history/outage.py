"""What went wrong in a database: whether it is about one row, and the reason in one line."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, SQLAlchemyError, StatementError

from stream.lines import one_line

if TYPE_CHECKING:
    from stream.history.address import Address

_STARTS_OR_ENDS = ("starting up", "shutting down", "recovery", "too many", "remaining connection")
_PORT = 5432


def reason_of(error: BaseException) -> str:
    """Return why a statement failed: what the database said, without the statement."""
    original = error.orig if isinstance(error, DBAPIError) else error
    text = " ".join(str(original or error).split())
    return one_line(text) or type(error).__name__


def is_about_rows(error: Exception) -> bool:
    """Whether other rows would have been taken: waiting does not help then."""
    if isinstance(error, DBAPIError):
        return isinstance(error, DataError | IntegrityError) and not error.connection_invalidated
    return isinstance(error, StatementError | OverflowError)  # the driver cannot send a value


def is_away(address: Address, error: SQLAlchemyError, timeout_s: float) -> bool:
    """Whether nobody answers at an address: it may come back, so a typing error is less likely.

    A server that answers and refuses a login says nothing that tells the two apart in every
    language, so the port is tried.
    """
    reason = reason_of(error)
    if address.is_sqlite:
        return "locked" in reason or "full" in reason
    if any(word in reason for word in _STARTS_OR_ENDS):
        return True
    host = address.url.host or address.url.query.get("host")
    if not isinstance(host, str) or host.startswith("/"):
        return False
    try:
        socket.create_connection((host, address.url.port or _PORT), timeout_s).close()
    except socket.gaierror:
        return False  # no such host
    except OSError:
        return True
    return False
