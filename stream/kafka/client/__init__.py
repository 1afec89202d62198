"""kafka-python, and all that is done with it."""
