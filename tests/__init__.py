"""A package, so that no other module called `tests` is taken for it."""
