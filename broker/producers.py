"""Idempotent producers: the rules that tell a new batch from a repeated one and from one out of order.

A producer numbers its records per partition. The five batches that a producer last appended are remembered, as many as
a producer may have under way at once, so a repeat of any of them is answered with the offset of the first.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import NamedTuple

from broker.errors import DuplicateSequence, InvalidProducerEpoch, OutOfOrderSequence
from broker.record_batches import NewRecordBatch

_BATCHES_REMEMBERED = 5
_SEQUENCES = 2**31


class AppendedBatch(NamedTuple):
    """A batch that was appended: its first and last sequence number, and where it lies."""

    first_sequence: int
    last_sequence: int
    base_offset: int


@dataclass(frozen=True, kw_only=True, slots=True)
class ProducerState:
    """What one producer last appended to one partition, oldest first."""

    epoch: int
    recent: tuple[AppendedBatch, ...]

    def after(self, batch: NewRecordBatch, base_offset: int) -> ProducerState:
        """The state once a batch is appended."""
        appended = AppendedBatch(batch.base_sequence, batch.last_sequence, base_offset)
        kept = self.recent if batch.producer_epoch == self.epoch else ()
        return replace(self, epoch=batch.producer_epoch, recent=(*kept, appended)[-_BATCHES_REMEMBERED:])

    def recent_as_json(self) -> str:
        """The recent batches, for the database."""
        return json.dumps(self.recent)


def restore(epoch: int, recent: str) -> ProducerState:
    """The state as the database kept it."""
    return ProducerState(epoch=epoch, recent=tuple(AppendedBatch(*batch) for batch in json.loads(recent)))


def first_state(batch: NewRecordBatch) -> ProducerState:
    """The state of a producer that is unknown here: it may begin at any number, for its past may be forgotten."""
    return ProducerState(epoch=batch.producer_epoch, recent=())


def find_repeated(state: ProducerState, batch: NewRecordBatch) -> AppendedBatch | None:
    """The batch of which this one is a repeat; None if it comes next.

    :raises InvalidProducerEpoch: a newer incarnation of the producer has written.
    :raises OutOfOrderSequence: batches before this one are missing.
    :raises DuplicateSequence: it is a repeat, but too old to say of what.
    """
    if batch.producer_epoch < state.epoch:
        raise InvalidProducerEpoch
    if batch.producer_epoch > state.epoch:
        if batch.base_sequence != 0:
            raise OutOfOrderSequence
        return None
    for appended in state.recent:
        if (appended.first_sequence, appended.last_sequence) == (batch.base_sequence, batch.last_sequence):
            return appended
    if state.recent:
        _check_is_next(state.recent[-1].last_sequence, batch.base_sequence)
    return None


def _check_is_next(last_sequence: int, first_sequence: int) -> None:
    ahead = (first_sequence - last_sequence) % _SEQUENCES
    if ahead == 1:
        return
    if ahead == 0 or ahead > _SEQUENCES // 2:
        raise DuplicateSequence
    raise OutOfOrderSequence
