"""Which of a user's projections stand still, told to `postcall status` as stages that pause are."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from postcall.paused_stages import publish_pause


class StoppedProjections:
    """What is told of one data directory."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._told: dict[str, str] = {}

    def tell(self, reasons: Mapping[str, str]) -> None:
        """Let these be the ones that stand still, with why."""
        for name in self._told.keys() - reasons.keys():
            publish_pause(self._data_dir, f"projection-{name}", None)
        for name, reason in reasons.items():
            if self._told.get(name) != reason:
                publish_pause(self._data_dir, f"projection-{name}", reason)
        self._told = dict(reasons)
