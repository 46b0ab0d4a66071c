"""A log with dead letters in it, the warehouse made from it, and `postcall replay dead-letters` as a script runs it."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from postcall.dead_letters import DeadLetter
from postcall.decisions import DeadLetterResolved
from postcall.errors import UnreadableRecord
from postcall.log import encode, open_record
from postcall.log_connection import LogConnection
from postcall.messages import derive_id
from postcall.records import NewRecord, Record
from postcall.settings import Configuration
from postcall.sources import load_sources
from postcall.supervisor import postcall_command
from postcall.topics import DEAD_LETTERS, DECISIONS, EVENTS, WEBHOOKS
from postcall.warehouse_queries import query_warehouse
from projections.files import make_serving
from projections.warehouse import Warehouse
from streams.normalize import normalize
from streams.transform import TransformStage
from tests.projections.logbook import apply_records
from tests.streams.deliveries import RECEIVED_AT, deliver
from tests.streams.log_contents import append_all, count_records, read_all, read_ids
from tests.streams.running import running
from tests.waiting import eventually

#: As it would be after a fix: the normalizer of today.
TODAY = partial(normalize, sources=load_sources(Configuration()))
#: No code will ever read it.
GARBAGE = deliver(b"{", session_id=None)


def before_the_fix(record: Record) -> Sequence[NewRecord]:
    """A normalizer that does not know the type `message` yet."""
    if b'"message"' in record.value:
        raise UnreadableRecord("A type that is not known.", error_class="schema")
    return TODAY(record)


class SetAside:
    """A log, and what is done with it."""

    def __init__(self, log: str, data_dir: Path) -> None:
        self.log = log
        self.data_dir = data_dir
        self.configuration = Configuration(flags={"data_dir": data_dir, "kafka": log})

    async def set_aside(self, *deliveries: NewRecord) -> None:
        """Let the stage before the fix read these deliveries; it sets aside what is no end of a call."""
        directory = self.data_dir / "normalize"
        stage = TransformStage("normalize", before_the_fix, log=LogConnection(self.log), directory=directory)
        await append_all(self.log, deliveries)
        async with running(stage, log=self.log, data_dir=directory):

            async def are_set_aside() -> bool:
                done = await count_records(self.log, DEAD_LETTERS) + await count_records(self.log, EVENTS)
                return done >= len(deliveries)

            await eventually(are_set_aside)

    async def point_at(self, *, offset: int, stage: str = "normalize") -> None:
        """Append a dead letter of a record that the log does not have there."""
        letter = DeadLetter(
            id=derive_id("a letter", str(offset)),
            stage=stage,
            error_class="schema",
            reason="A type that is not known.",
            kafka_topic=WEBHOOKS.name,
            kafka_partition=0,
            kafka_offset=offset,
        )
        await append_all(self.log, [encode(letter, source=stage, time=RECEIVED_AT)])

    async def project(self) -> None:
        """Make the warehouse anew from the log as it is now, as a projector that has caught up."""
        records = [record for topic in (EVENTS, DEAD_LETTERS, DECISIONS) for record in await read_all(self.log, topic)]
        path = self.data_dir / "warehouse-1.duckdb"
        path.unlink(missing_ok=True)
        warehouse = Warehouse(path)
        apply_records(warehouse, records)
        warehouse.close()
        make_serving(path)

    def rows(
        self, columns: str = "state, attempts, occurrences", *, table: str = "dead_letters"
    ) -> list[tuple[Any, ...]]:
        """What the warehouse says of the letters, or of what came of them."""
        rows = query_warehouse(f"SELECT {columns} FROM {table} ORDER BY ALL", self.configuration)  # noqa: S608 - our own
        return [tuple(row.values()) for row in rows]

    async def replay(self, *options: str, fail_at: str = "") -> subprocess.CompletedProcess[str]:
        """Run the command to its end."""
        return await asyncio.to_thread(
            subprocess.run,
            postcall_command("replay", "dead-letters", "--data-dir", str(self.data_dir), "--kafka", self.log, *options),
            env={**os.environ, "POSTCALL_ENV_FILE": "", "POSTCALL_CONFIG": os.devnull, "POSTCALL_FAIL_AT": fail_at},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    async def try_again(self, *options: str) -> dict[str, Any]:
        """Run it without asking; returns the fates that befell any letter."""
        ran = await self.replay("--yes", "--json", *options)
        assert ran.returncode == 0, ran.stderr
        told: dict[str, Any] = json.loads(ran.stdout)
        return {fate: count for fate, count in told.items() if count and fate != "dead_letters"}

    async def events(self) -> list[str]:
        """The ids of the events, repeats included."""
        return await read_ids(self.log, EVENTS)

    async def decisions(self) -> list[DeadLetterResolved]:
        """What was decided about letters."""
        messages = [open_record(record).message for record in await read_all(self.log, DECISIONS)]
        return [message for message in messages if isinstance(message, DeadLetterResolved)]
