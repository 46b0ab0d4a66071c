"""Why there is no new copy. The docstring of a class is its default message."""

from __future__ import annotations

from typing import ClassVar

from projections.errors import ProjectionError


class CopyFailed(ProjectionError):
    """The warehouse could not be copied; the copy until now stays. `code` is for programs."""

    code: ClassVar[str] = "copy_failed"


class CopyStopped(CopyFailed):
    """The service was stopped before the copy was made; the copy until now stays."""

    code = "copy_stopped"


class WarehouseBehind(CopyFailed):
    """The warehouse is being made again and has not read as far as the present copy; that stays until it has. To have
    a copy of what is there already, delete analytics.duckdb first."""

    code = "warehouse_behind"


class DiskNearlyFull(CopyFailed):
    """There is not enough room on the disk for a copy; the copy until now stays."""

    code = "disk_nearly_full"


class TableUnreadable(ProjectionError):
    """A table's rows cannot be made from what it is made of."""
