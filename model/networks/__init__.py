"""Architectures, for training and export; a worker has the exported network only."""
