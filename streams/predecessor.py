"""The process before this one in the same slot: if it died without leaving its group, its end there is awaited.

A member that joins while a dead one is still counted makes all others stop until the dead one's session has timed
out, since a rebalance waits for everyone. Who waits before it joins leaves the others at work meanwhile; for itself it
comes to the same.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from pathlib import Path

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from postcall.errors import LogUnavailable
from postcall.kafka import open_admin
from postcall.log_connection import LogConnection
from postcall.messages import sha256_hex

logger = logging.getLogger(__name__)

_RETRY_PAUSE_S = 0.3


def client_id_of(stage: str, directory: Path) -> str:
    """What a stage calls itself at the log: the same at each start in one slot of one machine, and nowhere else."""
    return f"postcall-{stage}-{socket.gethostname()}-{sha256_hex(bytes(directory.resolve()))[:8]}"


async def until_predecessor_left(group: str, client_id: str, *, log: LogConnection, limit_s: float) -> None:
    """Return once the group has no member of this client id, after the limit, or when the log cannot say."""
    try:
        async with open_admin(log) as admin:
            deadline_s = time.monotonic() + limit_s
            is_first = True
            while client_id in await _read_client_ids(admin, group) and time.monotonic() < deadline_s:
                if is_first:
                    logger.info("Waiting for the session of a dead process to end", extra={"action": "session_awaited"})
                is_first = False
                await asyncio.sleep(_RETRY_PAUSE_S)
    except (LogUnavailable, KafkaError):
        # Joining will tell what is wrong.
        return


async def _read_client_ids(admin: AIOKafkaAdminClient, group: str) -> set[str]:
    (response,) = await admin.describe_consumer_groups([group])
    return {client_id for _, _, _, _, _, members, *_ in response.groups for _, client_id, *_ in members}
