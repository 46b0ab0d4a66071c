"""Where the attach is served, by the commands that tell people: `attach.json` in the data directory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from postcall.instance import is_alive

_FILE: Final = "attach.json"


class Address(BaseModel):
    """An attach that is served. `made_token` is the token if none was set: then this file is where it stands."""

    model_config = ConfigDict(frozen=True)

    host: str
    port: int
    made_token: str | None = None
    pid: int = Field(default_factory=os.getpid)

    @property
    def uri(self) -> str:
        """As a client on this machine writes it."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104 - read, not bound
        return f"quack:[{host}]:{self.port}" if ":" in host else f"quack:{host}:{self.port}"


@contextmanager
def published(data_dir: Path, address: Address) -> Iterator[None]:
    """Say where it is while the block runs, to whoever may read the data directory as its owner."""
    file = data_dir / _FILE
    draft = file.with_suffix(".json.part")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as opened:
        opened.write(address.model_dump_json() + "\n")
    draft.replace(file)
    try:
        yield
    finally:
        file.unlink(missing_ok=True)


def find_address(data_dir: Path) -> Address | None:
    """The attach that is served on this directory, if its service is alive."""
    try:
        address = Address.model_validate_json((data_dir / _FILE).read_bytes())
    except (OSError, ValidationError):
        return None
    return address if is_alive(address.pid) else None
