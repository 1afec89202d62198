"""From recordings to stored features."""
