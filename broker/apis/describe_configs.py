"""DescribeConfigs, key 32, v1-v4.

Tells what holds here, under Kafka's names: for topics what the log does, overlaid by what the topic was created with;
for the broker its limits. Version 3 brought types and documentation, which are answered as unknown; 4 is flexible.
Left out: synonyms, and every other kind of resource.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kafka.protocol.admin import DescribeConfigsRequest, DescribeConfigsResponse

from broker.errors import BrokerError, InvalidRequest, error_code
from broker.record_batches import MAX_BATCH_BYTES
from broker.registry import NODE_ID, Api, Call

_Result = DescribeConfigsResponse.DescribeConfigsResult
_Config = _Result.DescribeConfigsResourceResult

_TOPIC, _BROKER = 2, 4
_OF_TOPIC, _OF_DEFAULT = 1, 5

_TOPIC_DEFAULTS: Mapping[str, str] = {
    "cleanup.policy": "delete",
    "flush.messages": "1",
    "max.message.bytes": str(MAX_BATCH_BYTES),
    "message.timestamp.type": "CreateTime",
    "min.insync.replicas": "1",
    "retention.bytes": "-1",
    "retention.ms": "-1",
}
_BROKER_DEFAULTS: Mapping[str, str] = {
    "auto.create.topics.enable": "false",
    "default.replication.factor": "1",
    "log.retention.ms": "-1",
    "message.max.bytes": str(MAX_BATCH_BYTES),
    "min.insync.replicas": "1",
    "num.partitions": "1",
    "offsets.retention.minutes": "-1",
}


async def handle(request: Any, call: Call) -> Any:
    """Describe the resources named."""
    return DescribeConfigsResponse(
        throttle_time_ms=0, results=[_describe(resource, call) for resource in request.resources]
    )


def _describe(resource: Any, call: Call) -> Any:
    refusal: BrokerError | None = None
    configs: list[Any] = []
    try:
        defaults, own = _configs_of(resource.resource_type, resource.resource_name, call)
        names = sorted({*defaults, *own})
        if resource.configuration_keys is not None:
            names = [name for name in names if name in resource.configuration_keys]
        configs = [_config(name, defaults, own) for name in names]
    except BrokerError as error:
        refusal = error
    return _Result(
        error_code=error_code(refusal),
        error_message=str(refusal) if refusal else None,
        resource_type=resource.resource_type,
        resource_name=resource.resource_name,
        configs=configs,
    )


def _configs_of(resource_type: int, name: str, call: Call) -> tuple[Mapping[str, str], Mapping[str, str]]:
    if resource_type == _TOPIC:
        return _TOPIC_DEFAULTS, call.log.topics.named(name).configs
    if resource_type == _BROKER and name in {"", str(NODE_ID)}:
        return _BROKER_DEFAULTS, {}
    raise InvalidRequest("Only topics and this broker have configs here.")


def _config(name: str, defaults: Mapping[str, str], own: Mapping[str, str]) -> Any:
    return _Config(
        name=name,
        value=own.get(name, defaults.get(name)),
        read_only=True,
        config_source=_OF_TOPIC if name in own else _OF_DEFAULT,
        is_sensitive=False,
        synonyms=[],
        config_type=0,
        documentation=None,
    )


API = Api(key=32, min_version=1, max_version=4, request_type=DescribeConfigsRequest, handle=handle)
