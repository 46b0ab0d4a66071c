"""A limit on a stage's memory: what eats more fails with a MemoryError, in this process alone."""

from __future__ import annotations

import contextlib
import resource
from typing import Final

#: A stage takes about 100 MB, and ten times that for the largest records.
LIMIT_BYTES: Final = 2 * 1024**3


def limit_memory(limit_bytes: int = LIMIT_BYTES) -> None:
    """Limit what this process may allocate. macOS has no such limit."""
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_DATA, (limit_bytes, limit_bytes))
