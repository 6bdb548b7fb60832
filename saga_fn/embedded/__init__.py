"""PostgreSQL without installing PostgreSQL: a server that lives and dies with this process (extra `embedded`)."""

from saga_fn.embedded.binaries import EmbeddedServerError
from saga_fn.embedded.server import EmbeddedPostgres

__all__ = ["EmbeddedPostgres", "EmbeddedServerError"]
