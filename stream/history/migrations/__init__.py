"""The versions of the tables, one file each; `stream.history.migrate` applies them."""
