"""The page of all experiments, with pictures and sounds: `page` writes it."""
