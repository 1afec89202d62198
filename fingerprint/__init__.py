"""Audio fingerprints: landmarks, an index of them on disk, and a matcher."""
