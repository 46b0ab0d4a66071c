"""DescribeCluster, key 60, v0-v1.

Tells the cluster id and the one broker, at the address where this client reached it. Version 1 asks for controllers,
which are not told apart from brokers here.
"""

from __future__ import annotations

from typing import Any

from kafka.protocol.admin import DescribeClusterRequest, DescribeClusterResponse

from broker.registry import NODE_ID, Api, Call

_Broker = DescribeClusterResponse.DescribeClusterBroker


async def handle(request: Any, call: Call) -> Any:  # noqa: ARG001 - there is nothing to choose
    """Describe the cluster."""
    return DescribeClusterResponse(
        throttle_time_ms=0,
        error_code=0,
        error_message=None,
        endpoint_type=1,
        cluster_id=call.log.cluster_id,
        controller_id=NODE_ID,
        brokers=[_Broker(broker_id=NODE_ID, host=call.client.host, port=call.client.port, rack=None)],
    )


API = Api(key=60, min_version=0, max_version=1, request_type=DescribeClusterRequest, handle=handle)
