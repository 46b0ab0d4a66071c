"""Metadata with topic ids: version 12 where the log speaks it, else version 5, which has none.

aiokafka's own request ends at version 5. Everything else of it is used: its types, and its client, so that a secured
log is asked as securely as by any other client. A log that is older than Kafka 3.1 gives no topic ids.
"""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from typing import Any
from uuid import UUID

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError, for_code
from aiokafka.protocol.abstract import AbstractType
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.metadata import MetadataRequest_v5
from aiokafka.protocol.types import (
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)

from postcall.errors import LogUnavailable
from postcall.log_connection import LogConnection
from postcall.log_diagnosis import explain_failure

_NO_ID = UUID(int=0)
_UNKNOWN_TOPIC = 3
_PREFIX = "postcall."


@dataclass(frozen=True, kw_only=True, slots=True)
class TopicMetadata:
    """One topic of the cluster."""

    topic_id: str | None
    partition_count: int


@dataclass(frozen=True, kw_only=True, slots=True)
class ClusterMetadata:
    """The cluster, and those of its topics that were asked for and exist."""

    cluster_id: str | None
    topics: dict[str, TopicMetadata]


async def read_metadata(log: LogConnection, topics: list[str] | None) -> ClusterMetadata:
    """Ask the log for its identity and its topics'.

    :param topics: which; None = all that are ours by name.

    :raises LogUnavailable: it cannot be spoken to; says why, and which setting to look at.
    """
    client = AIOKafkaClient(**log.client_options())
    try:
        await client.bootstrap()
    except (KafkaError, OSError) as error:
        await client.close()
        raise LogUnavailable(await explain_failure(log, error)) from error
    try:
        answer = (await client.send(client.get_random_node(), _IdentityRequest(topics))).to_object()
        return ClusterMetadata(cluster_id=answer["cluster_id"] or None, topics=_read_topics(answer["topics"]))
    except (KafkaError, OSError) as error:
        raise LogUnavailable(f"The log at {log} does not answer: {error!r}.") from error
    finally:
        await client.close()


def _read_topics(answers: list[dict[str, Any]]) -> dict[str, TopicMetadata]:
    topics = {}
    for answer in answers:
        if answer["error_code"] == _UNKNOWN_TOPIC or not answer["topic"].startswith(_PREFIX):
            continue
        if answer["error_code"]:
            raise for_code(answer["error_code"])(answer["topic"])
        topic_id = answer.get("topic_id", _NO_ID)
        topics[answer["topic"]] = TopicMetadata(
            topic_id=str(topic_id) if topic_id != _NO_ID else None, partition_count=len(answer["partitions"])
        )
    return topics


class _Uuid(AbstractType[UUID]):  # type: ignore[misc]  # aiokafka has no types
    @classmethod
    def encode(cls, value: UUID) -> bytes:
        return value.bytes

    @classmethod
    def decode(cls, data: BytesIO) -> UUID:
        return UUID(bytes=data.read(16))


class _MetadataResponse_v12(Response):  # type: ignore[misc]  # noqa: N801 - aiokafka's way to write versions
    API_KEY = 3
    API_VERSION = 12
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            CompactArray(
                ("node_id", Int32),
                ("host", CompactString("utf-8")),
                ("port", Int32),
                ("rack", CompactString("utf-8")),
                ("tags", TaggedFields),
            ),
        ),
        ("cluster_id", CompactString("utf-8")),
        ("controller_id", Int32),
        (
            "topics",
            CompactArray(
                ("error_code", Int16),
                ("topic", CompactString("utf-8")),
                ("topic_id", _Uuid),
                ("is_internal", Boolean),
                (
                    "partitions",
                    CompactArray(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", CompactArray(Int32)),
                        ("isr", CompactArray(Int32)),
                        ("offline_replicas", CompactArray(Int32)),
                        ("tags", TaggedFields),
                    ),
                ),
                ("authorized_operations", Int32),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _MetadataRequest_v12(RequestStruct):  # type: ignore[misc]  # noqa: N801 - as above
    FLEXIBLE_VERSION = True
    API_KEY = 3
    API_VERSION = 12
    RESPONSE_TYPE = _MetadataResponse_v12
    SCHEMA = Schema(
        ("topics", CompactArray(("topic_id", _Uuid), ("topic", CompactString("utf-8")), ("tags", TaggedFields))),
        ("allow_auto_topic_creation", Boolean),
        ("include_topic_authorized_operations", Boolean),
        ("tags", TaggedFields),
    )


class _IdentityRequest(Request[MetadataRequest_v5 | _MetadataRequest_v12]):  # type: ignore[misc]  # as above
    API_KEY = 3

    def __init__(self, topics: list[str] | None) -> None:
        self._topics = topics

    def build(
        self, request_struct_class: type[MetadataRequest_v5 | _MetadataRequest_v12]
    ) -> MetadataRequest_v5 | _MetadataRequest_v12:
        if issubclass(request_struct_class, _MetadataRequest_v12):
            topics: list[tuple[UUID, str, dict[int, bytes]]] | None = None
            if self._topics is not None:
                topics = [(_NO_ID, topic, {}) for topic in self._topics]
            return request_struct_class(topics, False, False, {})
        return request_struct_class(self._topics, False)
