"""What a transaction of the log may do: append batches at the right offset, and keep topics, producers and offsets.

It belongs to the appender's thread. Log end offsets and producers are remembered between transactions and can be
forgotten at any time: they are read from the database again.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass

from broker.errors import TopicAlreadyExists
from broker.producers import ProducerState, find_repeated, first_state, restore
from broker.record_batches import NewRecordBatch
from broker.storage import CommittedOffset, Storage, StoredBatch
from broker.topics import NewTopic, PartitionKey, Topic

_PRODUCERS_REMEMBERED = 10_000


@dataclass(frozen=True, kw_only=True, slots=True)
class AppendResult:
    """Where a batch lies; a repeated batch lies where it was put at first."""

    base_offset: int
    next_offset: int


class PartitionWriter:
    """Writes into the transaction that is open."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._ends: dict[PartitionKey, tuple[int, int]] = {}
        self._producers: OrderedDict[tuple[PartitionKey, int], ProducerState] = OrderedDict()

    def forget(self) -> None:
        """Drop what is remembered, after a transaction was undone."""
        self._ends.clear()
        self._producers.clear()

    def append(self, partition: PartitionKey, batch: NewRecordBatch) -> AppendResult:
        """Append a batch, unless its producer has sent it before.

        :raises BrokerError: the producer's sequence numbers do not allow it; nothing is written.
        """
        if not batch.is_idempotent:
            return self._insert(partition, batch)
        state = self._producer(partition, batch)
        repeated = find_repeated(state, batch)
        if repeated is not None:
            next_offset = repeated.base_offset + batch.record_count
            return AppendResult(base_offset=repeated.base_offset, next_offset=next_offset)
        result = self._insert(partition, batch)
        self._remember_producer(partition, batch.producer_id, state.after(batch, result.base_offset))
        return result

    def create_topic(self, topic: NewTopic) -> Topic:
        """Create a topic.

        :raises TopicAlreadyExists: one of this name is there.
        """
        if self._storage.has_topic(topic.name):
            raise TopicAlreadyExists
        return self._storage.insert_topic(topic)

    def delete_topic(self, topic_number: int) -> None:
        """Delete a topic and all that belongs to it."""
        self._storage.delete_topic(topic_number)
        self.forget()

    def take_producer_id(self) -> int:
        """A producer id that none had before."""
        return self._storage.take_producer_id()

    def commit_offsets(self, group_id: str, offsets: Iterable[CommittedOffset]) -> None:
        """Commit a group's offsets."""
        self._storage.upsert_committed_offsets(group_id, offsets, _now_ms())

    def _insert(self, partition: PartitionKey, batch: NewRecordBatch) -> AppendResult:
        base_offset, newest_timestamp_ms = self._ends.get(partition) or self._storage.partition_end(partition)
        next_offset = base_offset + batch.record_count
        newest_timestamp_ms = max(newest_timestamp_ms, batch.max_timestamp_ms)
        self._storage.insert_batch(
            StoredBatch(
                partition=partition,
                base_offset=base_offset,
                next_offset=next_offset,
                newest_timestamp_ms=newest_timestamp_ms,
                content=batch.content_at(base_offset),
            )
        )
        self._ends[partition] = (next_offset, newest_timestamp_ms)
        return AppendResult(base_offset=base_offset, next_offset=next_offset)

    def _producer(self, partition: PartitionKey, batch: NewRecordBatch) -> ProducerState:
        remembered = self._producers.get((partition, batch.producer_id))
        if remembered is not None:
            return remembered
        stored = self._storage.producer(partition, batch.producer_id)
        return first_state(batch) if stored is None else restore(*stored)

    def _remember_producer(self, partition: PartitionKey, producer_id: int, state: ProducerState) -> None:
        self._storage.upsert_producer(
            partition,
            producer_id=producer_id,
            producer_epoch=state.epoch,
            recent=state.recent_as_json(),
            updated_at_ms=_now_ms(),
        )
        self._producers[partition, producer_id] = state
        self._producers.move_to_end((partition, producer_id))
        if len(self._producers) > _PRODUCERS_REMEMBERED:
            self._producers.popitem(last=False)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
