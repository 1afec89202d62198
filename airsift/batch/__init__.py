"""Many recordings: which there are, where their results go, and what is done already."""
