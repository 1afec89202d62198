"""How well tracks are found."""
