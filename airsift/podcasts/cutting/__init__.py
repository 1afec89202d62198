"""Cutting: stretches of an audio file as files of their own, or joined.

- `spans` decides what is kept.
- `packets` copies encoded packets: nothing is encoded again, and cuts lie on packet boundaries.
- `samples` decodes and encodes: exact to the sample, with fades and a loudness; without loss where
  both codecs have none.
- `cut` chooses between the two, and writes all files or none.
"""
