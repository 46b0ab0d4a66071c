"""What can go wrong with the attach. The docstring of a class is its default message."""

from __future__ import annotations

from postcall.errors import UsageError
from projections.errors import ProjectionError


class ExtensionsMissing(UsageError):
    """The DuckDB extensions that the attach needs are not installed."""


class NotServed(ProjectionError):
    """No copy is served to other DuckDBs."""


class TablesChanged(ProjectionError):
    """The new copy has other tables or columns than clients were told."""


class CopiesHeld(ProjectionError):
    """Clients hold too many old copies open by scans that they neither end nor leave."""
