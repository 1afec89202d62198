"""Podcasts: feeds, what a series repeats, chapters of episodes, and cutting.

- `chapters.chapters_of` is a pure function: what is known of an episode in, chapters out.
- `series.Series` holds what is known of the episodes of a series, in a folder that only grows.
- `feed.local_episodes` turns the address of a feed into files on this machine.
- `chapter_files` and `chapter_tags` write chapters, as files of their own and into audio files.
- `cutting` cuts audio files, without encoding again where the codec allows it.
"""
