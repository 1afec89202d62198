"""One file a program."""
