"""Whether the tags of a catalogue agree with its audio: tags in, disagreements out."""
