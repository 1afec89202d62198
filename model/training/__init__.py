"""From stored features to a network."""
