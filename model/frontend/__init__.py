"""Audio to constant-Q columns, as a worker computes them."""
