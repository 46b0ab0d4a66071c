"""The shape of every HTTP error of postcall, on the public door and on the private port:

`{"error": {"status": 401, "code": "signature_refused", "message": "…"}}`. The code is for programs, the message for
people; more facts may stand beside them.
"""

from __future__ import annotations

from typing import Any, Final

import orjson
from starlette.exceptions import HTTPException

#: What is told of a fault of ours.
INTERNAL_ERROR: Final = (500, "internal_error", "Something went wrong here; the log of this service says what.")

_ROUTER_CODES: Final = {404: "not_found", 405: "wrong_method"}


def error_body(status: int, code: str, message: str, **more: Any) -> bytes:
    """An error in JSON."""
    return orjson.dumps({"error": {"status": status, "code": code, "message": message, **more}})


def router_code(error: HTTPException) -> str:
    """The code of a request that no route takes."""
    return _ROUTER_CODES.get(error.status_code, "http_error")
