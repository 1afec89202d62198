"""The experiments of the 2015 report, to be run anew on any audio; a worker imports none of it.

J. Royo-Letelier, "Detection and characterization of singing voice using deep neural networks",
ATIAM master report, Deezer, 2015. Numbers of experiments and tables in this package are its own.
"""
