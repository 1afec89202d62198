"""How the index of a large catalogue behaves: time of a question, memory, what is still found.

The postings are simulated, see `_postings.py`; what is measured on them is the matcher as it
is. Takes music of the fingerprint benchmark (fetched the first time, 1.3 GB), 3 GB of disk for
its time, and up to ten minutes; ``--quick`` one or two.
``python bench/fingerprint_scale.py [--quick] [--json FILE] [--picture FILE]``
"""

import sys

# fingerprint.py in this folder has the name of a package: look for modules here last.
sys.path.append(sys.path.pop(0))

if __name__ == "__main__":
    from _scale import main

    main()
