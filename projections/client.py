"""Asking the warehouse without HTTP in between for who asks: the running pipeline, or the file itself."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import orjson

from postcall.settings import Configuration, Settings
from projections.errors import QUERY_ERRORS, ProjectionError, QueryError
from projections.query.runner import QueryRunner
from projections.reading import open_read_only
from projections.running import RunningService, find_service
from projections.settings import QuerySettings

#: Values for `?` in their order, or for `$name` by name.
Parameters = list[Any] | dict[str, Any] | None
#: Beyond a query's own deadline: its process has to be killed, and its answer brought here.
_GRACE_S: Final = 10.0


@dataclass(frozen=True, kw_only=True, slots=True)
class QueryResult:
    """An answer's body, and whether rows were cut off."""

    body: bytes
    row_count: int
    is_truncated: bool


def query_rows(sql: str, configuration: Configuration) -> list[dict[str, Any]]:
    """The rows of one statement that reads, for other rooms (`postcall.warehouse_queries`).

    :raises QueryError: the statement was refused, failed, or was stopped.
    :raises ProjectionError: there is no warehouse, nobody answers, or one answer may not have so many rows.
    """
    result = run_query(
        sql, "json", settings=configuration.read(Settings), query_settings=configuration.read(QuerySettings)
    )
    if result.is_truncated:
        raise ProjectionError(f"There are more than {result.row_count} rows; POSTCALL_SQL_MAX_ROWS allows more.")
    rows: list[dict[str, Any]] = orjson.loads(result.body)["rows"]
    return rows


def run_query(
    sql: str,
    answer_format: str,
    *,
    settings: Settings,
    query_settings: QuerySettings,
    parameters: Parameters = None,
) -> QueryResult:
    """Run a statement on the warehouse of a data directory, whoever has it open.

    :param answer_format: one of those that `POST /v1/sql` knows.
    :raises QueryError: the statement was refused, failed, or was stopped.
    :raises ProjectionError: there is no warehouse, or nobody answers.
    """
    body = {"sql": sql, "format": answer_format, "parameters": parameters}
    service = find_service(settings.data_dir)
    if service is None:
        return _run_here(body, settings=settings, query_settings=query_settings)
    return _ask(service, body, settings=settings, deadline_s=query_settings.sql_deadline_s)


def _run_here(query: dict[str, Any], *, settings: Settings, query_settings: QuerySettings) -> QueryResult:
    warehouse = open_read_only(settings.data_dir)
    runner = QueryRunner(lambda: warehouse, query_settings)
    try:
        answer = runner.run(query["sql"], answer_format=query["format"], parameters=query["parameters"])
        body = b"".join(answer.chunks())
        return QueryResult(body=body, row_count=answer.row_count, is_truncated=answer.is_truncated)
    finally:
        runner.close()
        warehouse.close()


def _ask(service: RunningService, query: dict[str, Any], *, settings: Settings, deadline_s: float) -> QueryResult:
    headers = {"authorization": f"Bearer {settings.private_token}"} if settings.private_token else {}
    try:
        with httpx.Client(
            base_url=service.private, headers=headers, timeout=2 * deadline_s + _GRACE_S, trust_env=False
        ) as client:
            _check_instance(client, service, settings.data_dir)
            response = client.post("/v1/sql", json=query)
    except httpx.HTTPError as error:
        raise ProjectionError(f"The pipeline at {service.private} does not answer SQL: {error}.") from error
    if response.status_code != 200:
        raise _read_error(response)
    return QueryResult(
        body=response.content,
        row_count=int(response.headers["postcall-row-count"]),
        is_truncated=response.headers["postcall-truncated"] == "true",
    )


def _check_instance(client: httpx.Client, service: RunningService, data_dir: Path) -> None:
    """Another pipeline may have come to live on the same port."""
    found = client.get("/healthz").json().get("instance")
    if found not in (None, service.instance):
        raise ProjectionError(f"What answers at {service.private} is not the pipeline that runs on {data_dir}.")


def _read_error(response: httpx.Response) -> ProjectionError:
    try:
        error: dict[str, Any] = response.json()["error"]
    except (json.JSONDecodeError, KeyError, TypeError):
        return ProjectionError(f"The pipeline answered {response.status_code} to the query.")
    return QUERY_ERRORS.get(error["code"], QueryError)(error["message"], position=error.get("position"))
