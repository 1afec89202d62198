"""From audio to landmarks and hashes."""
