"""Features of windows: one module a family, `catalogue` for their names."""
