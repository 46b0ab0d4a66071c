"""The records before the positions, as the log has them now."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from postcall.checksums import record_checksum
from postcall.errors import LogUnavailable
from postcall.kafka import open_consumer
from postcall.known_log.identity import LogIdentity
from postcall.known_log.positions import ReadPosition
from postcall.log_connection import LogConnection

_TIMEOUT_S: Final = 30.0
#: A fetch brings one batch at the least; more than that nobody wants here.
_FETCH_BYTES: Final = 64 * 1024


async def read_witnesses(
    log: LogConnection, positions: Iterable[ReadPosition], identity: LogIdentity
) -> dict[tuple[str, int], str]:
    """The checksum of the record before each position, empty if it has another offset, none where the log begins later.

    :raises LogUnavailable: the log does not answer.
    """
    wanted = [position for position in positions if _is_kept(position, identity)]
    if not wanted:
        return {}
    try:
        async with open_consumer(log, max_fetch_bytes=_FETCH_BYTES) as consumer:
            found = {(each.topic, each.partition): await _read_one(consumer, each) for each in wanted}
    except KafkaError as error:
        raise LogUnavailable(f"The log at {log} does not answer: {error!r}.") from error
    return {place: checksum for place, checksum in found.items() if checksum is not None}


def _is_kept(position: ReadPosition, identity: LogIdentity) -> bool:
    topic = identity.topics.get(position.topic)
    if position.record_checksum is None or topic is None or position.partition >= len(topic.partitions):
        return False
    held = topic.partitions[position.partition]
    return held.start < position.next_offset <= held.end


async def _read_one(consumer: AIOKafkaConsumer, position: ReadPosition) -> str | None:
    place = TopicPartition(position.topic, position.partition)
    # One at a time, so that no more than one partition's fetch is held.
    consumer.assign([place])
    consumer.seek(place, position.next_offset - 1)
    try:
        record = await asyncio.wait_for(consumer.getone(place), _TIMEOUT_S)
    except OffsetOutOfRangeError:
        return None  # retention took it meanwhile
    except TimeoutError:
        raise LogUnavailable(f"{position.topic}/{position.partition} could not be read.") from None
    return record_checksum(record) if record.offset == position.next_offset - 1 else ""
