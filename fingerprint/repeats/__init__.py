"""Repeats: what a station plays several times, found without a catalogue.

Four types, each with its law:

- A *run* (`alignment.Run`) is a stretch that sounds like another one `lag` frames earlier. It is a
  function of the peaks alone, and does not depend on how they arrived.
- A *window* (`window.Window`) holds the peaks and hashes of the last days in parts that are a
  function of the blocks it holds. A window that is read from disk answers as one that was filled.
- A *cluster* (`clusters.Clusters`) is an equivalence class of spans. It does not depend on the
  order of the runs.
- The *finder* (`finder.RepeatFinder`) turns blocks of 20.48 s into runs. Its state besides the
  window is a few numbers for each open run, so it goes on after a restart.
"""
