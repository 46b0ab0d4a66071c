"""The service's side of the attach: keeps the process running that serves it (see `child`), and says where it is.

Off unless `attach_port` is set. Without POSTCALL_PRIVATE_TOKEN each start makes a token of its own; `postcall attach`
prints the statement for a client, with the token, to whoever may read the data directory.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from postcall.errors import UsageError
from postcall.service import open_listener
from postcall.settings import Settings
from projections.api.guard import is_loopback
from projections.attaching.address import Address, published
from projections.attaching.child import Offer
from projections.attaching.extensions import find_extensions
from projections.attaching.keeper import Keeper
from projections.copying.placing import COPY_FILE
from projections.settings import CopySettings

_LINKS_FOLDER: Final = "attached"
#: Of them one is of use.
_MAX_OLD_COPIES: Final = 10
_MIN_TOKEN_LENGTH: Final = 4


@contextmanager
def serve_attach(settings: Settings, copy_settings: CopySettings) -> Iterator[Keeper | None]:
    """Let other DuckDBs attach the copy while the block runs, if a port is set; from the first copy on.

    :raises ExtensionsMissing: the extensions are not installed.
    :raises UsageError: the port is taken, or the address needs a token and there is none.
    """
    if copy_settings.attach_port is None:
        yield None
        return
    offer = _make_offer(settings, copy_settings)
    is_made = settings.private_token is None
    address = Address(host=offer.host, port=offer.port, made_token=offer.token if is_made else None)
    with published(settings.data_dir, address):
        keeper = Keeper(offer)
        keeper.start()
        try:
            yield keeper
        finally:
            keeper.stop()


def _make_offer(settings: Settings, copy_settings: CopySettings) -> Offer:
    extensions = find_extensions()
    host, token = settings.private_host, settings.private_token
    if token is None and not is_loopback(host):
        raise UsageError(f"Others can reach {host}: to be attached there, POSTCALL_PRIVATE_TOKEN must be set.")
    if token is not None and len(token) < _MIN_TOKEN_LENGTH:
        raise UsageError(f"To be attached, POSTCALL_PRIVATE_TOKEN needs {_MIN_TOKEN_LENGTH} characters or more.")
    links = settings.data_dir.resolve() / _LINKS_FOLDER
    links.mkdir(mode=0o700, parents=True, exist_ok=True)
    for left in links.iterdir():
        left.unlink()
    return Offer(
        extensions=tuple(map(str, extensions)),
        copy=str(settings.data_dir.resolve() / COPY_FILE),
        links=str(links),
        host=host,
        port=_find_port(host, copy_settings.attach_port or 0),
        token=token or secrets.token_urlsafe(24),
        memory_mb=copy_settings.attach_memory_mb,
        max_old_copies=_MAX_OLD_COPIES,
    )


def _find_port(host: str, port: int) -> int:
    # The extension takes no port 0, and would share a port that is taken without a word.
    with open_listener(host, port) as listener:
        found: int = listener.getsockname()[1]
        return found
