"""FindCoordinator, key 10, v0-v4.

The one broker coordinates every consumer group.
Version 1 asks also for transaction coordinators, of which there is none: transactions are left out. 3 is flexible, 4
asks for several groups.
"""

from __future__ import annotations

from typing import Any

from kafka.protocol.metadata import FindCoordinatorRequest, FindCoordinatorResponse

from broker.errors import InvalidRequest, error_code
from broker.registry import NODE_ID, Api, Call

_Coordinator = FindCoordinatorResponse.Coordinator
_GROUP = 0


async def handle(request: Any, call: Call) -> Any:
    """Name this broker, at the address where the client reached it."""
    refusal = None
    if call.version >= 1 and request.key_type != _GROUP:
        refusal = InvalidRequest("Transactions are not supported by this log.")
    place = {
        "node_id": -1 if refusal else NODE_ID,
        "host": "" if refusal else call.client.host,
        "port": -1 if refusal else call.client.port,
        "error_code": error_code(refusal),
        "error_message": str(refusal) if refusal else None,
    }
    if call.version < 4:
        return FindCoordinatorResponse(throttle_time_ms=0, **place)
    return FindCoordinatorResponse(
        throttle_time_ms=0, coordinators=[_Coordinator(key=key, **place) for key in request.coordinator_keys]
    )


API = Api(key=10, min_version=0, max_version=4, request_type=FindCoordinatorRequest, handle=handle)
