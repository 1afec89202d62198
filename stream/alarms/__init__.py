"""Alarms: rules of stations, when an alarm opens and closes, and the targets of notifications."""
