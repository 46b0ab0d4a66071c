"""What can go wrong with the attach. The docstring of a class is its default message."""

from __future__ import annotations

from postcall.errors import UsageError
from projections.errors import ProjectionError


class ExtensionsMissing(UsageError):
    """The DuckDB extensions that the attach needs are not installed."""


class NotServed(ProjectionError):
    """No copy is served to other DuckDBs."""


class TablesChanged(ProjectionError):
    """A new copy has other tables or columns than the clients were told."""
