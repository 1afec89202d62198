"""What a restart must read again: no client library."""
