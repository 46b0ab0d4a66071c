"""What has to differ when a service of the compose file is run here: host names, ports and folders, nothing else."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Relocation:
    """Words of the compose file, and what stands here in their place; each word is replaced only as a whole."""

    places: Mapping[str, str]

    def text(self, text: str) -> str:
        """A text with every such word replaced, once."""
        longest_first = sorted(self.places, key=len, reverse=True)
        pattern = "|".join(rf"(?<![\w.]){re.escape(word)}(?![\w.])" for word in longest_first)
        return re.sub(pattern, lambda found: self.places[found.group()], text)

    def words(self, words: Iterable[str]) -> list[str]:
        """A command line."""
        return [self.text(word) for word in words]

    def environment(self, environment: Mapping[str, str]) -> dict[str, str]:
        """The values of an environment."""
        return {name: self.text(value) for name, value in environment.items()}


def free_ports(count: int) -> list[str]:
    """Ports that nothing listens on."""
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [str(listener.getsockname()[1]) for listener in listeners]
    finally:
        for listener in listeners:
            listener.close()
