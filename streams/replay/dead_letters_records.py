"""Reading the records that dead letters point at. The log may not have them any more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable, Sequence
from itertools import groupby
from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from postcall.dead_letters import dead_letter
from postcall.errors import LogUnavailable
from postcall.kafka import open_consumer, to_record
from postcall.known_log.identity import LogIdentity, read_identity
from postcall.log_connection import LogConnection
from postcall.records import Position, Record
from streams.replay.dead_letters_selection import OpenLetter

_TIMEOUT_S: Final = 30.0
_FETCH_BYTES: Final = 64 * 1024
# Up to so many records are rather read over than sought past, which costs a fetch.
_NEAR_RECORDS: Final = 50


async def read_pointed_at(
    log: LogConnection, letters: Sequence[OpenLetter]
) -> AsyncGenerator[tuple[OpenLetter, Record | None], None]:
    """Each letter with its record; None = the log does not have it, or has another one there.

    :param letters: in the order of their records.
    :raises LogUnavailable: the log does not answer.
    """
    identity = await read_identity(log, dict.fromkeys(letter.position.topic for letter in letters))
    try:
        async with open_consumer(log, max_fetch_bytes=_FETCH_BYTES) as consumer:
            for place, group in groupby(letters, key=_partition_of):
                consumer.assign([place])
                async for letter, record in _read_partition(consumer, place, group, identity):
                    yield letter, record if record is not None and _is_its_own(letter, record) else None
    except KafkaError as error:
        raise LogUnavailable(f"The log at {log} does not answer: {error!r}.") from error


async def _read_partition(
    consumer: AIOKafkaConsumer, place: TopicPartition, letters: Iterable[OpenLetter], identity: LogIdentity
) -> AsyncGenerator[tuple[OpenLetter, Record | None], None]:
    last: Record | None = None
    for letter in letters:
        if not _is_kept(letter.position, identity):
            yield letter, None
            continue
        last = await _read_to(consumer, place, letter.position.offset, last)
        yield letter, last if last is not None and last.offset == letter.position.offset else None


async def _read_to(
    consumer: AIOKafkaConsumer, place: TopicPartition, offset: int, last: Record | None
) -> Record | None:
    """The record there, else the first one after it; None = retention took it meanwhile."""
    if last is None or not last.offset <= offset <= last.offset + _NEAR_RECORDS:
        consumer.seek(place, offset)
        last = None
    try:
        while last is None or last.offset < offset:
            # Not `wait_for`: until Python 3.12 it may swallow a Ctrl-C.
            async with asyncio.timeout(_TIMEOUT_S):
                last = to_record(await consumer.getone(place))
    except OffsetOutOfRangeError:
        return None
    except TimeoutError:
        raise LogUnavailable(f"{place.topic}/{place.partition} could not be read at {offset}.") from None
    return last


def _partition_of(letter: OpenLetter) -> TopicPartition:
    return TopicPartition(letter.position.topic, letter.position.partition)


def _is_kept(position: Position, identity: LogIdentity) -> bool:
    topic = identity.topics.get(position.topic)
    if topic is None or position.partition >= len(topic.partitions):
        return False
    held = topic.partitions[position.partition]
    return held.start <= position.offset < held.end


def _is_its_own(letter: OpenLetter, record: Record) -> bool:
    """Whether it is the record that was set aside, and not one of a log that was made anew."""
    return dead_letter(record, stage=letter.stage, error_class=letter.error_class, reason="").id == letter.id
