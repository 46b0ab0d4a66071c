"""A stage of ours over the same topic, which notes what it takes."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from postcall.log_connection import LogConnection
from postcall.records import Record
from streams.transform import TransformStage
from tests.streams.faust_defects.plain_app import FAIL, HANG, WAIT


class WatchedStage(TransformStage):
    """Derives nothing. What waits or hangs does so until `gate` is set, and what fails fails until then.

    Once it waits, there is a file `waits` in its directory.
    """

    def __init__(self, log: str, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        super().__init__("normalize", lambda _: (), log=LogConnection(log), directory=directory)
        self.directory = directory
        self.gate = asyncio.Event()
        #: Partition and offset of each record, when `take` is given it and when it is done.
        self.begun: Counter[tuple[int, int]] = Counter()
        self.taken: Counter[tuple[int, int]] = Counter()

    async def take(self, records: Sequence[Record]) -> None:
        """Take them, once the gate lets them pass."""
        places = [(record.partition, record.offset) for record in records]
        self.begun.update(places)
        values = {record.value for record in records}
        if values & {WAIT, HANG}:
            (self.directory / "waits").touch()
            await self.gate.wait()
        if FAIL in values and not self.gate.is_set():
            raise ValueError
        await super().take(records)
        self.taken.update(places)
