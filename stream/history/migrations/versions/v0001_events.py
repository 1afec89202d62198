"""The first tables: series, tracks and events.

A migration is never changed once it is released: what the tables are later is in later files.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "airsift_series",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("station_key", sa.Text, nullable=False),
        sa.Column("station", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("reach_ms", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("station_key", "kind", name="airsift_series_name"),
    )
    op.create_table(
        "airsift_tracks",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("track", sa.Text, nullable=False),
        sa.Column("title", sa.Text),
        sa.Column("artist", sa.Text),
        sa.Column("album", sa.Text),
        sa.Column("isrc", sa.Text),
        sa.Column("record_label", sa.Text),
        sa.Column("words", sa.Text, nullable=False),
        sa.Column("duration_s", sa.Float(53)),
        sa.Column("extra", sa.JSON(none_as_null=True)),
        sa.UniqueConstraint("digest", name="airsift_tracks_digest"),
    )
    op.create_table(
        "airsift_events",
        sa.Column(
            "series_id",
            sa.Integer,
            sa.ForeignKey("airsift_series.id"),
            primary_key=True,
            autoincrement=False,
        ),
        sa.Column("start_sample", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("subject", sa.Text, primary_key=True),
        sa.Column("end_sample", sa.BigInteger, nullable=False),
        sa.Column("rate", sa.Integer, nullable=False),
        sa.Column("starts_ms", sa.BigInteger),
        sa.Column("ends_ms", sa.BigInteger),
        sa.Column("label", sa.Text),
        sa.Column("score", sa.Float(53)),
        sa.Column("final", sa.Boolean),
        sa.Column("track_id", sa.Integer, sa.ForeignKey("airsift_tracks.id")),
        sa.Column("details", sa.JSON(none_as_null=True)),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "airsift_events_time", "airsift_events", ["series_id", "starts_ms", "ends_ms", "label"]
    )
    op.create_index(
        "airsift_events_track",
        "airsift_events",
        ["track_id", "starts_ms"],
        sqlite_where=sa.text("track_id IS NOT NULL"),
        postgresql_where=sa.text("track_id IS NOT NULL"),
    )
