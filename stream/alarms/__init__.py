"""Alarms: which rules hold for a station, when an alarm opens and closes, and who is told."""
