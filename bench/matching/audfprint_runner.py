"""audfprint2 on arrays of samples; run by its own virtual environment's Python.

``audfprint_runner.py TABLE DENSITY index TRACK.npy...``, or ``query QUERIES.npy`` instead of
``index``, which prints the answers as JSON. The other settings are those of its command line.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
from audfprint2 import Analyzer, HashTable, Matcher
from audfprint2.core.analyzer import landmarks2hashes
from scipy.signal import resample_poly

RATE = 16_000
SHIFTS = 4  # of a query: its command line's default for matching


def main() -> None:
    table, density, what, *files = sys.argv[1:]
    analyzer = Analyzer(density=float(density))
    if what == "index":
        stored = HashTable(hashbits=20, depth=100, maxtime=16384)
        for file in map(Path, files):
            stored.store(file.stem, hashes(analyzer, np.load(file), 1).tolist())
        stored.save(table)
        return
    stored = HashTable(table)
    matcher = Matcher()
    matcher.window = 2
    matcher.find_time_range = True
    out = []
    for query in np.load(files[0]):
        start = time.process_time()
        found = matcher.match_hashes(stored, hashes(analyzer, query, SHIFTS))
        step = analyzer.n_hop / analyzer.target_sr
        out.append(
            {
                "answers": [
                    (stored.names[int(row[0])], round(int(row[2]) * step * RATE), float(row[1]))
                    for row in found[:1]
                ],
                "spans": [(float(row[5]) * step, float(row[6]) * step) for row in found[:1]],
                "cpu_s": time.process_time() - start,
            }
        )
    json.dump(out, sys.stdout)


def hashes(analyzer: Analyzer, samples: np.ndarray, shifts: int) -> np.ndarray:
    """Return rows of (time, hash), each once, of samples at 16 kHz."""
    audio = resample_poly(samples.astype(np.float32) / 32768, 441, 640)
    found = []
    for shift in range(shifts):
        part = audio[shift * analyzer.n_hop // shifts :]
        peaks = analyzer.find_peaks(part, analyzer.target_sr)
        found.append(landmarks2hashes(analyzer.peaks2landmarks(peaks)))
    return np.unique(np.concatenate(found).astype(np.int64), axis=0)


if __name__ == "__main__":
    main()
