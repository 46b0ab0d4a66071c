"""Fuses for the crash points of a pipeline: who gets there first takes the fuse, and dies."""

from __future__ import annotations

import time
from pathlib import Path

from postcall.crash_points import FAIL_AT
from tests.faults.effects import Disturbance
from tests.waiting import eventually


class Fuses:
    """A folder of them."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._folder = folder

    @property
    def environment(self) -> dict[str, str]:
        """What tells processes of the folder."""
        return {FAIL_AT: str(self._folder)}

    async def burn(self, *names: str, timeout_s: float = 60.0) -> list[Disturbance]:
        """Lay fuses, and wait until each was taken; says when.

        :param names: as in `insights.after_perform_before_outcome`.
        """
        seen_s = dict.fromkeys(names, time.time())
        burnt: dict[str, Disturbance] = {}
        for name in names:
            (self._folder / name).touch()

        def are_burnt() -> bool:
            for name in names:
                now_s = time.time()
                if (self._folder / name).exists():
                    seen_s[name] = now_s
                elif name not in burnt:
                    burnt[name] = Disturbance(what=name, from_s=seen_s[name], to_s=now_s)
            return len(burnt) == len(names)

        await eventually(are_burnt, timeout_s=timeout_s)
        return list(burnt.values())
