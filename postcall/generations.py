"""Which generation of events is the live one: what the last `GenerationPromoted` of `postcall.decisions` says.

A service asks once, when it starts, and then watches: as soon as another generation is the live one it ends with
`GenerationReplaced`, and whoever supervises it starts it again in that one. So nothing ever changes its topics while
it runs.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from os import EX_TEMPFAIL
from pathlib import Path
from typing import ClassVar, Final, NoReturn

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from postcall.decisions import GenerationPromoted
from postcall.durable_files import sync_file
from postcall.errors import LogUnavailable, PostcallError, UnreadableRecord
from postcall.kafka import open_consumer, to_record
from postcall.known_log.metadata import ClusterMetadata, read_metadata
from postcall.log import open_record
from postcall.log_connection import LogConnection
from postcall.topics import DECISIONS, Topic, events_topic, generation_of

logger = logging.getLogger(__name__)

_FILE: Final = "generation"
_FETCH_TIMEOUT_MS: Final = 500
#: How long the log keeps a question open while nothing is decided.
_LONG_POLL_MS: Final = 10_000
_RETRY_PAUSE_S: Final = 2.0


class GenerationReplaced(PostcallError):
    """Another generation of events is the live one now."""

    exit_code: ClassVar[int] = EX_TEMPFAIL

    def __init__(self, live: Generation, *, running: int) -> None:
        super().__init__(f"Generation {live.number} of the events is live, and this process runs in {running}.")
        self.live = live


@dataclass(frozen=True, kw_only=True, slots=True)
class Generation:
    """A generation of events, and where its live stages begin, by partition; the first begins with the log."""

    number: int = 1
    #: Of the deliveries, for `normalize`.
    webhooks: Mapping[int, int] = field(default_factory=dict)
    #: Of its events, for `plan`.
    events: Mapping[int, int] = field(default_factory=dict)

    @property
    def topic(self) -> Topic:
        """Where its events lie."""
        return events_topic(self.number)

    def begin(self, topic: str, partition: int) -> int:
        """From which offset on the live stages read a partition of a topic."""
        begins = self.events if topic == self.topic.name else self.webhooks
        return begins.get(partition, 0)


async def read_generation(log: LogConnection) -> Generation:
    """The live generation, as the log says it now.

    :raises LogUnavailable: the log does not answer, or does not have the topic of decisions yet.
    """
    metadata = await read_metadata(log, None)
    if DECISIONS.name not in metadata.topics:
        raise LogUnavailable(f"The log at {log} has no topic {DECISIONS.name} yet.")
    if not may_have_later(metadata.topics):
        return Generation()
    async with _decisions(log, metadata, wait_ms=_FETCH_TIMEOUT_MS) as consumer:
        return await _read_to_ends(consumer)


async def watch_generation(log: LogConnection, running: int) -> NoReturn:
    """Watch over the decisions, and wait where the log does not answer.

    :raises GenerationReplaced: another generation is the live one.
    """
    while True:
        with suppress(LogUnavailable):
            await _watch(log, running)
        await asyncio.sleep(_RETRY_PAUSE_S)


def remember_generation(data_dir: Path, number: int) -> None:
    """Note which generation is live, for a service that starts before the log can say it."""
    draft = data_dir / f"{_FILE}.part"
    with draft.open("w", encoding="utf-8") as file:
        file.write(f"{number}\n")
        file.flush()
        sync_file(file.fileno())
    draft.replace(data_dir / _FILE)


def remembered_generation(data_dir: Path) -> int:
    """Which generation was live when somebody last noted it on this directory."""
    with suppress(OSError, ValueError):
        return max(1, int((data_dir / _FILE).read_text("utf-8")))
    return 1


async def _watch(log: LogConnection, running: int) -> None:
    metadata = await read_metadata(log, None)
    if DECISIONS.name not in metadata.topics:
        return
    # The places first: what is decided after the look is read below.
    async with _decisions(log, metadata, wait_ms=_LONG_POLL_MS) as consumer:
        places = consumer.assignment()
        ends = await consumer.end_offsets(places)
        live = await read_generation(log)
        if live.number != running:
            raise GenerationReplaced(live, running=running)
        for place, end in ends.items():
            consumer.seek(place, end)
        while True:
            for promotion in _promotions(await consumer.getmany(timeout_ms=_LONG_POLL_MS)):
                if promotion.number > running:
                    raise GenerationReplaced(promotion, running=running)


def may_have_later(topics: Iterable[str]) -> bool:
    """Whether a log with these topics can have a generation after the first: its topic is there before it is live."""
    return any((generation_of(name) or 1) > 1 for name in topics)


@asynccontextmanager
async def _decisions(log: LogConnection, metadata: ClusterMetadata, *, wait_ms: int) -> AsyncIterator[AIOKafkaConsumer]:
    """A consumer of all decisions, which stands nowhere yet."""
    count = metadata.topics[DECISIONS.name].partition_count
    try:
        async with open_consumer(log, fetch_max_wait_ms=wait_ms) as consumer:
            consumer.assign([TopicPartition(DECISIONS.name, number) for number in range(count)])
            yield consumer
    except KafkaError as error:
        raise LogUnavailable(f"The log at {log} does not tell what was decided: {error!r}.") from error


async def _read_to_ends(consumer: AIOKafkaConsumer) -> Generation:
    places = consumer.assignment()
    ends = await consumer.end_offsets(places)
    await consumer.seek_to_beginning(*places)
    live = Generation()
    while unread := [place for place, end in ends.items() if await consumer.position(place) < end]:
        batches = await consumer.getmany(*unread, timeout_ms=_FETCH_TIMEOUT_MS)
        live = max(live, *_promotions(batches), key=lambda generation: generation.number)
    return live


def _promotions(batches: Mapping[TopicPartition, Iterable[object]]) -> list[Generation]:
    """The generations that these records promote."""
    records = (to_record(message) for batch in batches.values() for message in batch)
    found = []
    for record in records:
        if record.header("ce_type") != GenerationPromoted.__name__:
            continue
        try:
            decision = open_record(record).message
        except UnreadableRecord:
            logger.error(
                "Promotion cannot be read", extra={"action": "promotion_skipped", "position": str(record.position)}
            )
            continue
        if isinstance(decision, GenerationPromoted):
            found.append(
                Generation(
                    number=decision.generation, webhooks=decision.cut_over.webhooks, events=decision.cut_over.events
                )
            )
    return found
