"""Record batches: the unit that producers send, that is stored, and that consumers receive, byte for byte.

Only the 61-byte header is read; the records inside stay as the producer encoded and compressed them. Two fields are
outside the CRC, so the broker may set them: the base offset and the partition leader epoch.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from aiokafka.record.util import calc_crc32c

from broker.errors import BatchTooLarge, CorruptBatch, InvalidRecordBatch, UnsupportedFormat

#: The largest record batch that is accepted, in bytes; a record is a little smaller than its batch.
MAX_BATCH_BYTES = 24 * 1024 * 1024

# base offset, length, leader epoch, magic, crc | attributes, last offset delta, first and last timestamp,
# producer id, producer epoch, base sequence, record count
_HEADER = struct.Struct(">qiibIhiqqqhii")
_LENGTH_STARTS_AFTER = 12
_CRC_COVERS_FROM = 21
_MAGIC_AT = 16
_TRANSACTIONAL_OR_CONTROL = 0x30
NO_PRODUCER_ID = -1


@dataclass(frozen=True, kw_only=True, slots=True)
class NewRecordBatch:
    """A batch to append: it has no offset yet."""

    content: bytes
    record_count: int
    max_timestamp_ms: int
    producer_id: int
    producer_epoch: int
    base_sequence: int

    @property
    def is_idempotent(self) -> bool:
        """Sent by a producer whose sequence numbers are to be checked."""
        return self.producer_id != NO_PRODUCER_ID

    @property
    def last_sequence(self) -> int:
        """The sequence number of the last record; numbers start again at 0 after 2^31 - 1."""
        return (self.base_sequence + self.record_count - 1) & 0x7FFFFFFF

    def content_at(self, base_offset: int) -> bytes:
        """The bytes to store when the first record gets this offset."""
        return base_offset.to_bytes(8, "big") + self.content[8:]


def parse_record_batch(content: bytes | None) -> NewRecordBatch:
    """Read the header of the one batch that a produce request carries for a partition.

    :raises CorruptBatch: it is cut short, or its CRC or record count does not fit.
    :raises UnsupportedFormat: it is of a format before Kafka 0.11.
    :raises InvalidRecordBatch: it is one of several, transactional, or a control batch.
    :raises BatchTooLarge: it has more than `MAX_BATCH_BYTES`.
    """
    if content is None or len(content) <= _MAGIC_AT:
        raise CorruptBatch
    if content[_MAGIC_AT] != 2:
        raise UnsupportedFormat
    if len(content) > MAX_BATCH_BYTES:
        raise BatchTooLarge(f"A record batch has {len(content)} bytes; at most {MAX_BATCH_BYTES} are accepted.")
    if len(content) < _HEADER.size:
        raise CorruptBatch
    _, length, _, _, crc, attributes, last_offset_delta, _, max_timestamp_ms, producer_id, epoch, sequence, count = (
        _HEADER.unpack_from(content)
    )
    if length < len(content) - _LENGTH_STARTS_AFTER:
        raise InvalidRecordBatch("A produce request carries one record batch for each partition.")
    is_whole = length == len(content) - _LENGTH_STARTS_AFTER and count >= 1 and last_offset_delta == count - 1
    if not is_whole or calc_crc32c(memoryview(content)[_CRC_COVERS_FROM:]) != crc:
        raise CorruptBatch
    if attributes & _TRANSACTIONAL_OR_CONTROL:
        raise InvalidRecordBatch("Transactions are not supported by this log.")
    return NewRecordBatch(
        content=content,
        record_count=count,
        max_timestamp_ms=max_timestamp_ms,
        producer_id=producer_id,
        producer_epoch=epoch,
        base_sequence=sequence,
    )


def first_record_at(content: bytes, timestamp_ms: int) -> tuple[int, int] | None:
    """Offset and timestamp of the first record of a stored batch that is not older than a time; None if all are.

    :raises CorruptBatch: the records cannot be opened.
    """
    from aiokafka.record.default_records import DefaultRecordBatch  # noqa: PLC0415 - only look-ups by time open batches

    try:
        for record in DefaultRecordBatch(content):
            if record.timestamp >= timestamp_ms:
                return record.offset, record.timestamp
    except Exception as error:  # the parser raises whatever the damage leads to
        raise CorruptBatch from error
    return None
