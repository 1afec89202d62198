"""OAUTHBEARER's tokens for kafka-python."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kafka.net.sasl.oauth import AbstractTokenProvider

if TYPE_CHECKING:
    from stream.kafka.tokens import Tokens


class TokenProvider(AbstractTokenProvider):  # type: ignore[misc]  # kafka-python asks for it
    """Tokens for kafka-python."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens

    def token(self) -> str:
        """Return the token that holds now."""
        return self._tokens.token()
