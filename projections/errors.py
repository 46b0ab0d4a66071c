"""What can go wrong in the projections. The docstring of a class is its default message."""

from __future__ import annotations

from postcall.errors import PostcallError, UsageError


class ProjectionError(PostcallError):
    """The projections cannot go on."""


class WarehouseHeld(UsageError):
    """Another process has the warehouse open."""


class WarehouseMissing(ProjectionError):
    """There is no warehouse yet."""


class WarehouseReplaced(ProjectionError):
    """The warehouse was replaced by another one just now."""


class WarehouseDamaged(ProjectionError):
    """The warehouse's file cannot be read."""


class BrokenSqlFile(ProjectionError):
    """A file of SQL cannot be used: which, in which line, and what the engine says."""

    def __init__(self, *, path: str, line: int, reason: str) -> None:
        super().__init__(f"{path}, line {line}: {reason}")
        self.path = path
        self.line = line


class ProjectionStopped(ProjectionError):
    """The statements of a user's projection failed on what is in the log."""

    def __init__(self, projection: str, fault: BrokenSqlFile) -> None:
        super().__init__(str(fault))
        self.projection = projection


class QueryError(ProjectionError):
    """A query gave no rows. `code` is for programs; `position` counts characters of the statement from 0."""

    code = "sql_failed"

    def __init__(self, message: str | None = None, *, position: int | None = None) -> None:
        super().__init__(message)
        self.position = position


class QueryRefused(QueryError):
    """Only a single statement that reads is run here."""

    code = "sql_refused"


class QueryTimedOut(QueryError):
    """The query was stopped at its deadline."""

    code = "sql_deadline_exceeded"


class QueryTooBig(QueryError):
    """The query was stopped because it needed more memory than a query may have."""

    code = "sql_out_of_memory"


class QueriesBusy(QueryError):
    """As many queries as may run at once are running already. Try again in a moment."""

    code = "sql_busy"


class QueryCancelled(QueryError):
    """The query was given up by whoever asked."""

    code = "sql_cancelled"


#: Errors that a query's child process reports, by code.
QUERY_ERRORS: dict[str, type[QueryError]] = {
    kind.code: kind for kind in (QueryError, QueryRefused, QueryTimedOut, QueryTooBig, QueriesBusy)
}
