"""The section `[podcasts]` of the configuration."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from airsift.defaults import Section


class PodcastSettings(Section, table="podcasts"):
    """Chapters, and how feeds are fetched."""

    min_chapter_s: Annotated[float, Field(ge=1, le=3600)]
    min_music_s: Annotated[float, Field(ge=1, le=3600)]
    max_feed_mb: Annotated[int, Field(ge=1, le=1000)]
    max_episode_mb: Annotated[int, Field(ge=1, le=100_000)]
    max_wait_s: Annotated[float, Field(ge=0, le=86_400)]
