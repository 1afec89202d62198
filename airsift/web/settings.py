"""The `[web]` section of the configuration: where the page is served, and to whom."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from airsift.defaults import Section


class WebSettings(Section, table="web"):
    """Where the page is served, and to whom."""

    address: Annotated[str, Field(min_length=1, max_length=255)]
    port: Annotated[int, Field(ge=0, le=65535)]
    token_file: str
    proxy_header: str
    proxy_addresses: Annotated[list[str], Field(max_length=100)]
    hosts: Annotated[list[str], Field(max_length=100)]
    max_upload_mb: Annotated[int, Field(ge=0, le=100_000)]
    may_change: bool
