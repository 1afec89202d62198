"""Other programs on the same recordings."""
