"""Reading the log for a run: once up to where topics ended, or on and on."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from postcall.errors import LogUnavailable
from postcall.kafka import open_admin, open_consumer, to_record
from postcall.log_connection import LogConnection
from postcall.records import Record
from postcall.topics import Topic

_BATCH_RECORDS = 500
_WAIT_MS = 500


async def read_ends(log: LogConnection, topics: Sequence[Topic]) -> dict[str, list[int]]:
    """Where each partition of these topics ends now.

    :raises LogUnavailable: the log does not answer, or has not all of them.
    """
    async with open_admin(log) as admin, open_consumer(log) as consumer:
        try:
            places = await _partitions_of(admin, [topic.name for topic in topics])
            marks = await consumer.end_offsets(places)
        except KafkaError as error:
            raise _unavailable(log, error) from error
    return {topic.name: [marks[place] for place in places if place.topic == topic.name] for topic in topics}


async def _partitions_of(admin: AIOKafkaAdminClient, topics: Sequence[str]) -> list[TopicPartition]:
    missing = set(topics) - set(await admin.list_topics())
    if missing:
        raise LogUnavailable(f"The log has no topic {min(missing)}. `postcall topics --create` makes it.")
    described = await admin.describe_topics(list(topics))
    return sorted(
        TopicPartition(topic["topic"], partition["partition"])
        for topic in described
        for partition in topic["partitions"]
    )


async def read_up_to(log: LogConnection, ends: Mapping[str, Sequence[int]]) -> AsyncGenerator[list[Record], None]:
    """All that the topics hold up to these ends, from the first record that is kept.

    :raises LogUnavailable: the log stopped answering.
    """
    marks = _by_place(ends)
    async with open_consumer(log, max_poll_records=_BATCH_RECORDS) as consumer:
        consumer.assign(list(marks))
        try:
            await consumer.seek_to_beginning(*marks)
            while unread := [place for place, end in marks.items() if await consumer.position(place) < end]:
                batches = await consumer.getmany(*unread, timeout_ms=_WAIT_MS)
                yield [
                    to_record(found)
                    for place, batch in batches.items()
                    for found in batch
                    if found.offset < marks[place]
                ]
        except KafkaError as error:
            raise _unavailable(log, error) from error


async def read_on(
    log: LogConnection, ends: Mapping[str, Sequence[int]]
) -> AsyncGenerator[tuple[list[Record], bool], None]:
    """All that the topics hold and will hold, and whether everything up to these ends was read; never ends.

    :raises LogUnavailable: the log stopped answering.
    """
    marks = _by_place(ends)
    async with open_consumer(log, max_poll_records=_BATCH_RECORDS) as consumer:
        consumer.assign(list(marks))
        try:
            await consumer.seek_to_beginning(*marks)
            yield [], await _has_reached(consumer, marks)
            while True:
                batches = await consumer.getmany(timeout_ms=_WAIT_MS)
                records = [to_record(found) for batch in batches.values() for found in batch]
                yield records, await _has_reached(consumer, marks)
        except KafkaError as error:
            raise _unavailable(log, error) from error


async def _has_reached(consumer: AIOKafkaConsumer, marks: Mapping[TopicPartition, int]) -> bool:
    return all([await consumer.position(place) >= end for place, end in marks.items()])


def _by_place(ends: Mapping[str, Sequence[int]]) -> dict[TopicPartition, int]:
    return {
        TopicPartition(topic, partition): end for topic, marks in ends.items() for partition, end in enumerate(marks)
    }


def _unavailable(log: LogConnection, error: KafkaError) -> LogUnavailable:
    return LogUnavailable(f"The log at {log} stopped answering: {error!r}.")
