"""Many stations in one process: the list of them, and the audio of all as one source."""
