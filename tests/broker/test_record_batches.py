"""Record batches: the header is read, the rest is kept byte for byte."""

from __future__ import annotations

import pytest
from aiokafka.record.default_records import DefaultRecordBatch
from hypothesis import given
from hypothesis import strategies as st

from broker.errors import BrokerError, CorruptBatch, InvalidRecordBatch, UnsupportedFormat
from broker.record_batches import first_record_at, parse_record_batch
from tests.broker.wire import record_batch

values = st.lists(st.binary(max_size=50), min_size=1, max_size=20)
offsets = st.integers(min_value=0, max_value=2**62)


@given(values=values, base_offset=offsets)
def test_stored_batch_reads_as_sent_at_its_offset(values: list[bytes], base_offset: int) -> None:
    batch = parse_record_batch(record_batch(*values))
    stored = DefaultRecordBatch(batch.content_at(base_offset))
    assert stored.validate_crc()
    assert [(record.offset, record.value) for record in stored] == [
        (base_offset + delta, value) for delta, value in enumerate(values)
    ]
    assert batch.record_count == len(values)


@given(content=st.binary(max_size=200))
def test_any_bytes_are_refused_with_an_error_of_the_log(content: bytes) -> None:
    with pytest.raises(BrokerError):
        parse_record_batch(content)


@given(values=values, data=st.data())
def test_no_flipped_bit_after_the_crc_goes_unnoticed(values: list[bytes], data: st.DataObject) -> None:
    content = bytearray(record_batch(*values))
    content[data.draw(st.integers(min_value=17, max_value=len(content) - 1))] ^= data.draw(
        st.sampled_from([1, 16, 128])
    )
    with pytest.raises(BrokerError):
        parse_record_batch(bytes(content))


@pytest.mark.parametrize("cut", [0, 10, 17, 60, -1])
def test_batch_cut_short_is_corrupt(cut: int) -> None:
    with pytest.raises(CorruptBatch):
        parse_record_batch(record_batch(b"hello")[:cut])


def test_missing_batch_is_corrupt() -> None:
    with pytest.raises(CorruptBatch):
        parse_record_batch(None)


def test_old_format_is_refused() -> None:
    content = bytearray(record_batch(b"hello"))
    content[16] = 1
    with pytest.raises(UnsupportedFormat):
        parse_record_batch(bytes(content))


def test_second_batch_is_refused() -> None:
    with pytest.raises(InvalidRecordBatch):
        parse_record_batch(record_batch(b"one") + record_batch(b"two"))


@given(values=values, time_ms=st.integers(min_value=0, max_value=1100))
def test_first_record_not_older_than_a_time(values: list[bytes], time_ms: int) -> None:
    found = first_record_at(record_batch(*values, timestamp_ms=1000), time_ms)
    expected = max(time_ms - 1000, 0)
    assert found == ((expected, 1000 + expected) if expected < len(values) else None)
