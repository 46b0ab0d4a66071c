"""DeleteTopics, key 20, v1-v6.

Deletes topics with all their records, at once and for good. Version 4 is flexible, 5 answers with error messages, 6
names topics by name or by id.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from kafka.protocol.admin import DeleteTopicsRequest, DeleteTopicsResponse

from broker.errors import BrokerError, error_code
from broker.registry import Api, Call

_Result = DeleteTopicsResponse.DeletableTopicResult
_NO_ID = UUID(int=0)


async def handle(request: Any, call: Call) -> Any:
    """Delete the topics one by one."""
    if call.version >= 6:
        wanted = [(topic.name, topic.topic_id) for topic in request.topics]
    else:
        wanted = [(name, _NO_ID) for name in request.topic_names]
    return DeleteTopicsResponse(
        throttle_time_ms=0, responses=[await _delete(name, topic_id, call) for name, topic_id in wanted]
    )


async def _delete(name: str | None, topic_id: UUID, call: Call) -> Any:
    try:
        topic = call.log.topics.identified(topic_id) if name is None else call.log.topics.named(name)
        await call.log.delete_topic(topic)
    except BrokerError as error:
        return _Result(name=name, topic_id=topic_id, error_code=error_code(error), error_message=str(error))
    return _Result(name=topic.name, topic_id=topic.topic_id, error_code=0, error_message=None)


API = Api(key=20, min_version=1, max_version=6, request_type=DeleteTopicsRequest, handle=handle)
