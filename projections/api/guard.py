"""Who may use the private port.

On a loopback address everyone on this machine, without a token; so that no web page can (its name made to point to
this machine), the Host header must then be a loopback name too. Any other address needs the token, and with one set,
every request must carry it.
"""

from __future__ import annotations

import hmac
import ipaddress
from typing import Final

from starlette.requests import HTTPConnection

from postcall.errors import UsageError
from projections.api.answers import RequestRefused

#: Answered to anyone: they say nothing that is not public.
_OPEN_PATHS: Final = frozenset({"/healthz", "/readyz"})


class Guard:
    """Checks requests.

    :raises UsageError: the address needs a token, and there is none.
    """

    def __init__(self, *, host: str, token: str | None) -> None:
        if not is_loopback(host) and not token:
            raise UsageError(
                f"The private port listens on {host}, which others can reach: set POSTCALL_PRIVATE_TOKEN, "
                f"or use --private-host 127.0.0.1."
            )
        self._token = token.encode() if token else None

    def check(self, request: HTTPConnection) -> None:
        """Let a request pass.

        :raises RequestRefused: it may not.
        """
        if self._token is None:
            if not is_loopback(_host_name(request.headers.get("host", ""))):
                raise RequestRefused(
                    403, "wrong_host", "The Host header must name this machine: 127.0.0.1 or localhost."
                )
        elif request.url.path not in _OPEN_PATHS and not self._has_token(request):
            raise RequestRefused(401, "token_needed", "Send the private token: Authorization: Bearer …")

    def _has_token(self, request: HTTPConnection) -> bool:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        # Bytes, since comparing text raises on what is not ASCII.
        given = token.strip().encode("utf-8", "replace")
        return scheme.lower() == "bearer" and self._token is not None and hmac.compare_digest(given, self._token)


def is_loopback(host: str) -> bool:
    """Whether a name or address is this machine's own."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _host_name(header: str) -> str:
    if header.startswith("["):
        return header[1:].partition("]")[0]
    return header.partition(":")[0]
