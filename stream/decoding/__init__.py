"""FFmpeg to mono float32, for files, web radio and Kafka alike."""
