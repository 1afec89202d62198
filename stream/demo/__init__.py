"""A demonstration with known truth: two stations' programmes, a broker, and a score."""
