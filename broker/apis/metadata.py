"""Metadata, key 3, v0-v12.

Tells the topics and the one broker, at the address where this client reached it. A topic that does not exist is
answered as unknown and never made here, whatever the client allows.
Version 0 asks for all topics with an empty list, later ones with null; 7 brought leader epochs, which are answered as
unknown; 9 is flexible; 10 brought topic ids.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from kafka.protocol.metadata import MetadataRequest, MetadataResponse

from broker.errors import BrokerError, error_code
from broker.registry import NODE_ID, Api, Call
from broker.topics import Topic

_Broker = MetadataResponse.MetadataResponseBroker
_Topic = MetadataResponse.MetadataResponseTopic
_Partition = _Topic.MetadataResponsePartition

_NO_ID = UUID(int=0)


async def handle(request: Any, call: Call) -> Any:
    """Describe the topics asked for, and where they are."""
    wants_all = request.topics is None or (call.version == 0 and not request.topics)
    topics = (
        [_describe(topic) for topic in call.log.topics]
        if wants_all
        else [_look_up(topic, call) for topic in request.topics]
    )
    return MetadataResponse(
        throttle_time_ms=0,
        brokers=[_Broker(node_id=NODE_ID, host=call.client.host, port=call.client.port, rack=None)],
        cluster_id=call.log.cluster_id,
        controller_id=NODE_ID,
        topics=topics,
    )


def _look_up(wanted: Any, call: Call) -> Any:
    topic_id = wanted.topic_id if call.version >= 10 else _NO_ID
    try:
        by_name = wanted.name is not None
        return _describe(call.log.topics.named(wanted.name) if by_name else call.log.topics.identified(topic_id))
    except BrokerError as error:
        return _Topic(
            error_code=error_code(error), name=wanted.name, topic_id=topic_id, is_internal=False, partitions=[]
        )


def _describe(topic: Topic) -> Any:
    return _Topic(
        error_code=0,
        name=topic.name,
        topic_id=topic.topic_id,
        is_internal=False,
        partitions=[
            _Partition(
                error_code=0,
                partition_index=index,
                leader_id=NODE_ID,
                leader_epoch=-1,
                replica_nodes=[NODE_ID],
                isr_nodes=[NODE_ID],
                offline_replicas=[],
            )
            for index in range(topic.partition_count)
        ],
    )


API = Api(key=3, min_version=0, max_version=12, request_type=MetadataRequest, handle=handle)
