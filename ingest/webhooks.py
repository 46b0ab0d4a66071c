"""The route of the webhooks: verify, append, acknowledge, in this order and nothing else.

A body is stored whatever it says, as long as its signature is right: the log decides what can be read, not the door.
Every answer carries a receipt (`Postcall-Receipt`); only a 200 claims that the delivery is durable.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import uuid_utils
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from ingest.answers import RECEIPT_HEADER, acknowledge, refuse
from ingest.bodies import check_body_headers, read_body
from ingest.capacity import Capacity
from ingest.errors import ClientGone, UnknownSource, UnsafeAgentId, WrongMethod
from ingest.refusals import Refusals
from postcall.deliveries import RawDelivery
from postcall.errors import PostcallError
from postcall.records import NewRecord
from postcall.sources.base import Source
from postcall.topics import MAX_BODY_BYTES

logger = logging.getLogger(__name__)

_SAFE_AGENT_ID = re.compile(r"(?!\.+\Z)[A-Za-z0-9._~-]{1,128}", re.ASCII)
_LONGEST_CONTENT_TYPE = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What one door takes."""

    max_body_bytes: int = MAX_BODY_BYTES
    #: From the first to the last byte of a body.
    body_deadline_s: float = 30.0
    max_requests: int = 2000
    #: Bodies in memory, all together.
    max_bytes_in_flight: int = 192 * 1024 * 1024


class WebhookDoor:
    """The ASGI endpoint of `/webhooks/{source}` and `/webhooks/{source}/{agent_id}`."""

    def __init__(
        self,
        *,
        sources: Mapping[str, Source],
        append: Callable[[NewRecord], Awaitable[None]],
        limits: Limits,
        refusals: Refusals,
    ) -> None:
        self._sources = sources
        self._append = append
        self._limits = limits
        self._refusals = refusals
        self._capacity = Capacity(max_requests=limits.max_requests, max_bytes=limits.max_bytes_in_flight)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        receipt_id = str(uuid_utils.uuid7())
        try:
            response = await self._take(scope, receive, receipt_id)
        except ClientGone:
            return
        except PostcallError as error:
            self._refusals.note(error, receipt_id=receipt_id)
            response = refuse(error)
        except Exception as error:
            logger.exception("A request failed", extra={"action": "failed", "receipt_id": receipt_id})
            response = refuse(error)
        response.raw_headers.append((RECEIPT_HEADER, receipt_id.encode()))
        await response(scope, receive, send)

    async def _take(self, scope: Scope, receive: Receive, receipt_id: str) -> Response:
        if scope["method"] != "POST":
            raise WrongMethod
        source = self._sources.get(scope["path_params"]["source"])
        if source is None:
            raise UnknownSource
        agent_id = _read_agent_id(scope["path_params"].get("agent_id"))
        headers = _read_headers(scope)
        check_body_headers(headers, max_bytes=self._limits.max_body_bytes)
        with self._capacity.admit() as slot:
            body = await read_body(
                receive,
                max_bytes=self._limits.max_body_bytes,
                deadline_s=self._limits.body_deadline_s,
                hold=slot.hold,
            )
            return await self._store(source, body, headers, agent_id, receipt_id)

    async def _store(
        self, source: Source, body: bytes, headers: Mapping[str, str], agent_id: str | None, receipt_id: str
    ) -> Response:
        received_at = datetime.now(UTC)
        signed_at = source.verify(body, headers, agent_id=agent_id, now=received_at)
        identity = source.identify(body)
        delivery = RawDelivery(
            receipt_id=receipt_id,
            source=source.name,
            body=body,
            received_at=received_at,
            signature="verified",
            session_id=identity.session_id,
            event_type=identity.event_type,
            agent_id=agent_id,
            signed_at=signed_at,
            content_type=headers.get("content-type", "")[:_LONGEST_CONTENT_TYPE] or None,
        )
        await self._append(delivery.to_record())
        return acknowledge(source.reply(body, identity))


def _read_headers(scope: Scope) -> dict[str, str]:
    # Names come in lower case; of a repeated header the last counts.
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}


def _read_agent_id(raw: str | None) -> str | None:
    if not raw:
        return None
    if not _SAFE_AGENT_ID.fullmatch(raw):
        raise UnsafeAgentId
    return raw
