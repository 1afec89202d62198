"""The sound of what is reported, as files: off unless a folder is configured."""
