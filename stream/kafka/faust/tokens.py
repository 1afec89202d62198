"""OAUTHBEARER's tokens for aiokafka."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiokafka.abc import AbstractTokenProvider  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from stream.kafka.tokens import Tokens


class TokenProvider(AbstractTokenProvider):  # type: ignore[misc]  # aiokafka asks for it
    """Tokens for aiokafka."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens

    async def token(self) -> str:
        """Return the token that holds now."""
        return await asyncio.to_thread(self._tokens.token)
