"""Why an export was not made. The docstring of a class is its default message."""

from __future__ import annotations

from postcall.errors import UsageError
from projections.errors import ProjectionError


class ExportFailed(ProjectionError):
    """The export was not finished. Run it again: it goes on from what is there."""


class ExportRefused(UsageError):
    """The export cannot be made as it was asked for."""
