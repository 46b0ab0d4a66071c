"""ApiVersions, key 18, v0-v3.

Answers from the registry. A client that asks in a version that is unknown here gets version 0 with the error
UNSUPPORTED_VERSION and asks again; its connection stays open. Version 3 is flexible, except for its response's header.
"""

from __future__ import annotations

from typing import Any

from kafka.protocol.metadata import ApiVersionsRequest, ApiVersionsResponse

from broker.errors import ErrorCode
from broker.registry import Api, Call, Registry

_Version = ApiVersionsResponse.ApiVersion


async def handle(request: Any, call: Call) -> Any:  # noqa: ARG001 - the client's name and release change nothing
    """Tell what is answered."""
    return ApiVersionsResponse(error_code=0, api_keys=_versions(call.registry), throttle_time_ms=0)


def refuse_version(registry: Registry) -> Any:
    """The answer, in version 0, to a version that is unknown here."""
    return ApiVersionsResponse(error_code=ErrorCode.UNSUPPORTED_VERSION, api_keys=_versions(registry))


def _versions(registry: Registry) -> list[Any]:
    versions = []
    for api in registry:
        lowest, highest = api.advertised_versions
        versions.append(_Version(api_key=api.key, min_version=lowest, max_version=highest))
    return versions


API = Api(key=18, min_version=0, max_version=3, request_type=ApiVersionsRequest, handle=handle)
