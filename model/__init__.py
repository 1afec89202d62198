"""Front end and network: from samples to columns to the probability of speech and of music."""
