"""Idempotent producers: a batch sent again is stored once, also when the log was restarted in between."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka.protocol.producer import InitProducerIdRequest, InitProducerIdResponse

from broker.errors import DuplicateSequence, ErrorCode, InvalidProducerEpoch, OutOfOrderSequence
from broker.producers import ProducerState, find_repeated, first_state, restore
from broker.record_batches import NewRecordBatch
from tests.broker.admin import CreateTopic, create_topics
from tests.broker.log_process import running_log
from tests.broker.wire import WireClient, record_batch, wire_client

pytestmark = pytest.mark.both_logs


# What Apache Kafka answers while it fetches its first block of ids; the embedded log never does.
_LOADING = 14


async def take_producer_id(client: WireClient, transactional_id: str | None = None) -> tuple[int, int]:
    """Error code and producer id."""
    request = InitProducerIdRequest(transactional_id=transactional_id, transaction_timeout_ms=1000)
    while True:
        response = await client.ask(request, InitProducerIdResponse, version=4)
        if response.error_code != _LOADING:
            return response.error_code, response.producer_id


async def test_repeated_batch_is_answered_with_its_first_offset(log_address: str, create_topic: CreateTopic) -> None:
    topic = await create_topic()
    async with wire_client(log_address) as client:
        _, producer_id = await take_producer_id(client)
        one = record_batch(b"a", b"b", producer_id=producer_id, epoch=0, sequence=0)
        two = record_batch(b"c", producer_id=producer_id, epoch=0, sequence=2)
        offsets = [(await client.produce(topic, batch))[0].base_offset for batch in (one, two, one, two)]
    assert offsets == [0, 2, 0, 2]


async def test_repeat_is_known_after_kill_9(tmp_path: Path) -> None:
    with running_log(tmp_path) as log:
        await create_topics(log.address, "calls")
        async with wire_client(log.address) as client:
            _, producer_id = await take_producer_id(client)
            batch = record_batch(b"a", producer_id=producer_id, epoch=0, sequence=0)
            await client.produce("calls", batch)
        log.kill()
    with running_log(tmp_path) as log:
        async with wire_client(log.address) as client:
            (repeated,) = await client.produce("calls", batch)
            _, next_producer_id = await take_producer_id(client)
            (following,) = await client.produce("calls", record_batch(b"b"))
    assert (repeated.error_code, repeated.base_offset, following.base_offset) == (ErrorCode.NONE, 0, 1)
    assert next_producer_id > producer_id


async def test_gap_in_the_sequence_is_refused(log_address: str, create_topic: CreateTopic) -> None:
    topic = await create_topic()
    async with wire_client(log_address) as client:
        await client.produce(topic, record_batch(b"a", producer_id=9, epoch=0, sequence=0))
        (refused,) = await client.produce(topic, record_batch(b"c", producer_id=9, epoch=0, sequence=2))
    assert refused.error_code == ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER


@pytest.mark.embedded_only("Kafka has transactions")
async def test_transactional_producer_is_refused(log_address: str) -> None:
    async with wire_client(log_address) as client:
        code, _ = await take_producer_id(client, transactional_id="one")
    assert code == ErrorCode.INVALID_REQUEST


def batch_of(count: int, *, sequence: int, epoch: int = 0) -> NewRecordBatch:
    """A batch as far as the sequence rules look at it."""
    return NewRecordBatch(
        content=b"", record_count=count, max_timestamp_ms=0, producer_id=1, producer_epoch=epoch, base_sequence=sequence
    )


sequences = st.integers(min_value=0, max_value=2**31 - 1)
counts = st.lists(st.integers(min_value=1, max_value=1000), min_size=2, max_size=12)


def appended(start: int, counts: list[int]) -> tuple[ProducerState, list[NewRecordBatch]]:
    """The state after batches that follow each other from a sequence number on, and the batches."""
    batches: list[NewRecordBatch] = []
    state = first_state(batch_of(1, sequence=start))
    offset = 0
    for count in counts:
        batch = batch_of(count, sequence=start)
        assert find_repeated(state, batch) is None
        state, offset = state.after(batch, offset), offset + count
        batches.append(batch)
        start = (start + count) % 2**31
    return state, batches


@given(start=sequences, counts=counts)
def test_batches_that_follow_each_other_are_new_also_past_the_greatest_number(start: int, counts: list[int]) -> None:
    appended(start, counts)


@given(start=sequences, counts=counts)
def test_each_of_the_last_five_is_known_and_older_ones_are_refused(start: int, counts: list[int]) -> None:
    state, batches = appended(start, counts)
    for batch in batches[-5:]:
        repeated = find_repeated(state, batch)
        assert repeated is not None
        assert repeated.first_sequence == batch.base_sequence
    for batch in batches[:-5]:
        with pytest.raises(DuplicateSequence):
            find_repeated(state, batch)


@given(start=sequences, counts=counts, skipped=st.integers(min_value=1, max_value=2**29))
def test_a_gap_is_out_of_order(start: int, counts: list[int], skipped: int) -> None:
    state, batches = appended(start, counts)
    ahead = (batches[-1].last_sequence + 1 + skipped) % 2**31
    with pytest.raises(OutOfOrderSequence):
        find_repeated(state, batch_of(1, sequence=ahead))


@given(start=sequences, counts=counts)
def test_state_survives_the_database(start: int, counts: list[int]) -> None:
    state, _ = appended(start, counts)
    assert restore(state.epoch, state.recent_as_json()) == state


def test_earlier_epoch_is_fenced_and_a_later_one_begins_at_zero() -> None:
    state = first_state(batch_of(1, sequence=0, epoch=3)).after(batch_of(1, sequence=0, epoch=3), 0)
    with pytest.raises(InvalidProducerEpoch):
        find_repeated(state, batch_of(1, sequence=1, epoch=2))
    with pytest.raises(OutOfOrderSequence):
        find_repeated(state, batch_of(1, sequence=1, epoch=4))
    assert find_repeated(state, batch_of(1, sequence=0, epoch=4)) is None
