"""What a network is worth, under which conditions."""
