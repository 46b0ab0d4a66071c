"""Reading the JSON body of a request."""

from __future__ import annotations

from typing import Final, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import Request

from projections.api.answers import RequestRefused

#: A statement and its parameters is the most that is asked.
MAX_REQUEST_BYTES: Final = 1024 * 1024
Body = TypeVar("Body", bound=BaseModel)


async def read_body(request: Request, model: type[Body]) -> Body:
    """Read and check a body.

    :raises RequestRefused: it is not what the route takes.
    """
    # A page of another origin can send a form or text here unasked, but not this.
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise RequestRefused(415, "json_needed", "Send JSON, with the header Content-Type: application/json.")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_REQUEST_BYTES:
            raise RequestRefused(413, "request_too_large", f"A request may have {MAX_REQUEST_BYTES} bytes.")
    try:
        return model.model_validate_json(bytes(body))
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the body"
        raise RequestRefused(400, "malformed_request", f"{where}: {first['msg']}") from None
