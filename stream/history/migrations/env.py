"""What Alembic runs: the migrations, on the connection and in the transaction that are open."""

from __future__ import annotations

from alembic import context

from stream.history.schema import VERSIONS

context.configure(connection=context.config.attributes["connection"], version_table=VERSIONS)
context.run_migrations()
