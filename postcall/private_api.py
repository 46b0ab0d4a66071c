"""A client of the private port: SQL over HTTP, answered with rows."""

from __future__ import annotations

from typing import Any, Self

import httpx

from postcall.errors import PostcallError

#: Longer than a query may take.
_TIMEOUT_S = 60.0


class QueryFailed(PostcallError):
    """The statement was refused or failed."""


class PrivateApi:
    """Asks the projections service of a running pipeline whose private port has no token, as the demo's.

    :param url: the private address, as `postcall.json` has it.
    """

    def __init__(self, url: str) -> None:
        self._client = httpx.AsyncClient(base_url=url, timeout=_TIMEOUT_S, trust_env=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    async def rows(self, sql: str) -> list[dict[str, Any]]:
        """The rows of one statement.

        :raises QueryFailed: with the service's own words.
        """
        rows: list[dict[str, Any]] = (await self._ask("POST", "/v1/sql", json={"sql": sql}))["rows"]
        return rows

    async def unread(self) -> int:
        """How many records of the log are not in the warehouse yet.

        :raises QueryFailed: it is not following the log at the moment.
        """
        unread: int = (await self._ask("GET", "/readyz"))["unread"]
        return unread

    async def _ask(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        try:
            response = await self._client.request(method, path, **options)
        except httpx.TransportError as error:
            raise QueryFailed(f"The private port does not answer: {error!r}.") from error
        if response.is_error:
            raise QueryFailed(_message_of(response))
        answer: dict[str, Any] = response.json()
        return answer


def _message_of(response: httpx.Response) -> str:
    try:
        return str(response.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return f"The private port answered {response.status_code}."
