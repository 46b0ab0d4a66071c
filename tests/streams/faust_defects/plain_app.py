"""A plain Faust app, as its users write it: one agent over one topic, and nothing of ours.

As a program it is a Faust worker. What its agent does with a record, the record says itself; what it did is written to
a ledger, line by line.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import faust

from tests.streams.log_contents import PARTITIONS
from tests.streams.stage_process import StageProcess, stage_process
from tests.waiting import eventually

#: Done at once.
GO = b"go"
#: Never done.
HANG = b"hang"
#: Done when the gate for it is opened.
WAIT = b"wait"
#: Fails.
FAIL = b"fail"
#: Waits for something that is cancelled.
CANCEL = b"cancel"


@dataclass(frozen=True, kw_only=True)
class PlainApp:
    """A worker of the app; several with the same group and other directories share the topic."""

    log: str
    topic: str
    directory: str
    group: str = "plain"
    concurrency: int = 1
    #: Counts records in a table, and takes its time after each rebalance: until the gate for it is opened.
    has_table: bool = False
    #: Sends each record on to this topic.
    output: str | None = None
    #: Settings of Faust, beside those that only make it quick to watch and quiet.
    settings: dict[str, Any] = field(default_factory=dict)

    @contextlib.contextmanager
    def running(self) -> Iterator[StageProcess]:
        """Its process, killed when the block ends."""
        Path(self.directory).mkdir(parents=True, exist_ok=True)
        arguments = ("tests.streams.faust_defects.plain_app", json.dumps(asdict(self)))
        with stage_process(*arguments, log_file=Path(self.directory) / "log") as process:
            yield process

    def open_gate(self, name: str) -> None:
        """Let go on what waits: the `work`, or after a `rebalance`."""
        self._gate(name).touch()

    @property
    def begun(self) -> list[tuple[int, int]]:
        """Partition and offset of each record, when the agent was given it."""
        return self._read_ledger("begun")

    @property
    def done(self) -> list[tuple[int, int]]:
        """Partition and offset of each record, when the agent was done with it."""
        return self._read_ledger("done")

    @property
    def has_rebalanced(self) -> bool:
        """Whether it is at the gate for it."""
        return bool(self._read_ledger("rebalanced"))

    def build(self) -> faust.App:
        """The app."""
        app = faust.App(
            self.group,
            broker=f"kafka://{self.log}",
            datadir=Path(self.directory) / "data",
            key_serializer="raw",
            value_serializer="raw",
            web_enabled=False,
            broker_commit_interval=0.2,
            **self.settings,
        )
        output = app.topic(self.output) if self.output else None
        counts = self._add_table(app) if self.has_table else None

        @app.agent(app.topic(self.topic), concurrency=self.concurrency)  # type: ignore[untyped-decorator]  # Faust's
        async def act(stream: Any) -> None:
            async for event in stream.events():
                place = (event.message.partition, event.message.offset)
                self._note("begun", *place)
                await self._obey(event.value)
                if counts is not None:
                    counts["all"] += 1
                if output is not None:
                    await output.send(value=event.value)
                self._note("done", *place)

        return app

    def _add_table(self, app: faust.App) -> Any:
        @app.on_rebalance_complete.connect  # type: ignore[untyped-decorator]  # Faust's
        async def linger(*_: Any, **_facts: Any) -> None:
            for place in app.consumer.assignment():
                await app.consumer.position(place)
            self._note("rebalanced", 0, 0)
            await self._until_open("rebalance")

        return app.Table("counts", default=int, partitions=PARTITIONS)

    async def _obey(self, value: bytes) -> None:
        if value == FAIL:
            raise ValueError
        if value == CANCEL:
            answer: asyncio.Future[None] = asyncio.Future()
            answer.cancel()
            await answer
        if value == HANG:
            await asyncio.Event().wait()
        if value == WAIT:
            await self._until_open("work")

    async def _until_open(self, name: str) -> None:
        await eventually(self._gate(name).exists, timeout_s=120)

    def _gate(self, name: str) -> Path:
        return Path(self.directory) / f"{name}.gate"

    def _note(self, action: str, partition: int, offset: int) -> None:
        with self._ledger.open("a") as ledger:
            ledger.write(f"{action} {partition} {offset}\n")

    def _read_ledger(self, action: str) -> list[tuple[int, int]]:
        # The last line may be half written.
        lines = self._ledger.read_text().split("\n")[:-1] if self._ledger.exists() else []
        found = [line.split() for line in lines]
        return [(int(partition), int(offset)) for said, partition, offset in found if said == action]

    @property
    def _ledger(self) -> Path:
        return Path(self.directory) / "ledger"


if __name__ == "__main__":
    faust.Worker(PlainApp(**json.loads(sys.argv[1])).build(), loglevel="INFO").execute_from_commandline()
