"""CreateTopics, key 19, v0-v7.

Version 1 brought validate-only and error messages, 4 lets the broker choose the numbers (1 partition, 1 copy), 5 is
flexible, 7 answers with the topic's id. Configs are kept and described, and change nothing.
Left out: replica assignments by hand beyond their number, for there is one broker.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from kafka.protocol.admin import CreateTopicsRequest, CreateTopicsResponse

from broker.errors import BrokerError, TopicAlreadyExists, error_code
from broker.registry import Api, Call
from broker.topics import NewTopic, check_new_topic

_Result = CreateTopicsResponse.CreatableTopicResult


async def handle(request: Any, call: Call) -> Any:
    """Create the topics one by one; one that is refused does not fail the others."""
    validate_only = call.version >= 1 and request.validate_only
    return CreateTopicsResponse(
        throttle_time_ms=0, topics=[await _create(topic, call, validate_only=validate_only) for topic in request.topics]
    )


async def _create(wanted: Any, call: Call, *, validate_only: bool) -> Any:
    count = len(wanted.assignments) or (1 if wanted.num_partitions == -1 else wanted.num_partitions)
    topic = NewTopic(
        name=wanted.name,
        partition_count=count,
        configs={config.name: config.value for config in wanted.configs if config.value is not None},
    )
    topic_id = UUID(int=0)
    try:
        check_new_topic(topic, wanted.replication_factor)
        if call.log.topics.has(topic.name):
            raise TopicAlreadyExists
        if not validate_only:
            topic_id = (await call.log.create_topic(topic)).topic_id
    except BrokerError as error:
        return _Result(
            name=wanted.name, topic_id=topic_id, error_code=error_code(error), error_message=str(error), configs=None
        )
    return _Result(
        name=wanted.name,
        topic_id=topic_id,
        error_code=0,
        error_message=None,
        num_partitions=count,
        replication_factor=1,
        configs=None,
    )


API = Api(key=19, min_version=0, max_version=7, request_type=CreateTopicsRequest, handle=handle)
