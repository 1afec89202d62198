"""The tables. `migrations/` makes them; a test holds the two together.

::

    airsift_series   one row for each station and kind of event
    airsift_events   one row for each event id
    airsift_tracks   one row for each description of a recording

Why one table of events and not one for each kind: a day of a station is one range of one index for
each kind, a new kind needs no migration, and one statement writes all. What is asked about has
columns.

Times are milliseconds since 1970 as integers, the same in both databases; days and zones are added
by those who ask.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)

VERSIONS = "airsift_history_version"  # the table that Alembic notes the version in

metadata = MetaData()

# `reach_ms`: no event of the series is longer. So whatever sounds at a moment begins at most so
# long before it, and an index of begins answers for intervals too.
series = Table(
    "airsift_series",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("station_key", Text, nullable=False),
    Column("station", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("reach_ms", BigInteger, nullable=False),
    UniqueConstraint("station_key", "kind", name="airsift_series_name"),
)

tracks = Table(
    "airsift_tracks",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("digest", Text, nullable=False),
    Column("track", Text, nullable=False),
    Column("title", Text),
    Column("artist", Text),
    Column("album", Text),
    Column("isrc", Text),
    Column("record_label", Text),
    Column("words", Text, nullable=False),
    Column("duration_s", Float(53)),
    Column("extra", JSON(none_as_null=True)),
    UniqueConstraint("digest", name="airsift_tracks_digest"),
)

# In SQLite the rows lie in the order of the primary key: a station's day is together on the disk.
events = Table(
    "airsift_events",
    metadata,
    Column("series_id", Integer, ForeignKey(series.c.id), primary_key=True, autoincrement=False),
    Column("start_sample", BigInteger, primary_key=True, autoincrement=False),
    Column("subject", Text, primary_key=True),
    Column("end_sample", BigInteger, nullable=False),
    Column("rate", Integer, nullable=False),
    Column("starts_ms", BigInteger),
    Column("ends_ms", BigInteger),
    Column("label", Text),
    Column("score", Float(53)),
    Column("final", Boolean),
    Column("track_id", Integer, ForeignKey(tracks.c.id)),
    Column("details", JSON(none_as_null=True)),
    sqlite_with_rowid=False,
)

# With end and label, so that the segments around a song are read from the index alone: in
# PostgreSQL the rows of a station's day may lie in as many pages.
by_time = Index(
    "airsift_events_time",
    events.c.series_id,
    events.c.starts_ms,
    events.c.ends_ms,
    events.c.label,
)
by_track = Index(
    "airsift_events_track",
    events.c.track_id,
    events.c.starts_ms,
    sqlite_where=events.c.track_id.is_not(None),
    postgresql_where=events.c.track_id.is_not(None),
)
