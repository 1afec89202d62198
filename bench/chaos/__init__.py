"""Long runs with faults."""
