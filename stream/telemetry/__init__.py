"""What an operator sees of a running process: health, metrics and logs."""
