"""Settings of the attach."""

from __future__ import annotations

from dataclasses import dataclass

from postcall.settings import setting


@dataclass(frozen=True, kw_only=True)
class AttachSettings:
    """Whether and where other DuckDBs attach the copy."""

    attach_port: int | None = setting(
        None, "port on private_host where other DuckDBs attach the copy (0 = any free one); none = not served"
    )
    attach_memory_mb: int = setting(1024, "memory of the process that serves it, in MB")
