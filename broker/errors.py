"""What can go wrong in the embedded log, and the one table from an error to its Kafka error code.

Kafka's own words for the codes are kept, so that a client's log can be looked up in Kafka's documentation.
"""

from __future__ import annotations

from enum import IntEnum

from postcall.errors import PostcallError, UsageError


class ErrorCode(IntEnum):
    """The codes of the Kafka protocol that this broker sends."""

    UNKNOWN_SERVER_ERROR = -1
    NONE = 0
    OFFSET_OUT_OF_RANGE = 1
    CORRUPT_MESSAGE = 2
    UNKNOWN_TOPIC_OR_PARTITION = 3
    MESSAGE_TOO_LARGE = 10
    INVALID_TOPIC_EXCEPTION = 17
    ILLEGAL_GENERATION = 22
    INCONSISTENT_GROUP_PROTOCOL = 23
    INVALID_GROUP_ID = 24
    UNKNOWN_MEMBER_ID = 25
    INVALID_SESSION_TIMEOUT = 26
    REBALANCE_IN_PROGRESS = 27
    UNSUPPORTED_VERSION = 35
    TOPIC_ALREADY_EXISTS = 36
    INVALID_PARTITIONS = 37
    INVALID_REPLICATION_FACTOR = 38
    INVALID_REQUEST = 42
    UNSUPPORTED_FOR_MESSAGE_FORMAT = 43
    OUT_OF_ORDER_SEQUENCE_NUMBER = 45
    DUPLICATE_SEQUENCE_NUMBER = 46
    INVALID_PRODUCER_EPOCH = 47
    KAFKA_STORAGE_ERROR = 56
    FETCH_SESSION_ID_NOT_FOUND = 70
    INVALID_RECORD = 87
    UNKNOWN_TOPIC_ID = 100


class BrokerError(PostcallError):
    """The log refused a request."""


class DataDirInUse(BrokerError):
    """Another process has this data directory open."""

    exit_code = UsageError.exit_code


class BadFrame(BrokerError):
    """A client sent bytes that are no Kafka request; its connection is closed."""


class UnknownTopicOrPartition(BrokerError):
    """There is no such topic or partition; topics are created on request only."""


class UnknownTopicId(BrokerError):
    """There is no topic with this id."""


class TopicAlreadyExists(BrokerError):
    """A topic of this name exists."""


class InvalidTopic(BrokerError):
    """A topic's name has 1 to 249 characters of a-z, A-Z, 0-9, dot, hyphen and underscore."""


class InvalidPartitions(BrokerError):
    """A topic has 1 to 1000 partitions."""


class InvalidReplicationFactor(BrokerError):
    """One process holds the log, so the replication factor is 1."""


class InvalidRequest(BrokerError):
    """The request cannot be answered by this broker."""


class CorruptBatch(BrokerError):
    """A record batch is damaged: its length, CRC or record count is wrong."""


class InvalidRecordBatch(BrokerError):
    """A record batch is not one that a plain or idempotent producer may send."""


class UnsupportedFormat(BrokerError):
    """Only the record batch format of Kafka 0.11 and later (magic 2) is kept."""


class BatchTooLarge(BrokerError):
    """A record batch is larger than this log accepts."""


class OffsetOutOfRange(BrokerError):
    """The offset is not in the log."""


class StorageFailed(BrokerError):
    """The database could not be written or read; nothing of the request was kept."""


class OutOfOrderSequence(BrokerError):
    """An idempotent producer left out a batch, so records are missing before this one."""


class DuplicateSequence(BrokerError):
    """An idempotent producer repeated a batch too old to be told from a new one."""


class InvalidProducerEpoch(BrokerError):
    """A newer incarnation of this producer has written since."""


class InvalidGroup(BrokerError):
    """A consumer group's id is not empty."""


class InvalidSessionTimeout(BrokerError):
    """A member's session timeout is between 1 ms and 30 minutes."""


class UnknownMember(BrokerError):
    """The consumer group has no such member; it has to join again."""


class IllegalGeneration(BrokerError):
    """The member belongs to an earlier generation of its consumer group."""


class InconsistentGroupProtocol(BrokerError):
    """The member shares no assignment strategy with its consumer group."""


class RebalanceInProgress(BrokerError):
    """The consumer group is rebalancing; the member has to join again."""


class FetchSessionNotFound(BrokerError):
    """This broker keeps no fetch sessions."""


_CODES: dict[type[BrokerError], ErrorCode] = {
    UnknownTopicOrPartition: ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
    UnknownTopicId: ErrorCode.UNKNOWN_TOPIC_ID,
    TopicAlreadyExists: ErrorCode.TOPIC_ALREADY_EXISTS,
    InvalidTopic: ErrorCode.INVALID_TOPIC_EXCEPTION,
    InvalidPartitions: ErrorCode.INVALID_PARTITIONS,
    InvalidReplicationFactor: ErrorCode.INVALID_REPLICATION_FACTOR,
    InvalidRequest: ErrorCode.INVALID_REQUEST,
    CorruptBatch: ErrorCode.CORRUPT_MESSAGE,
    InvalidRecordBatch: ErrorCode.INVALID_RECORD,
    UnsupportedFormat: ErrorCode.UNSUPPORTED_FOR_MESSAGE_FORMAT,
    BatchTooLarge: ErrorCode.MESSAGE_TOO_LARGE,
    OffsetOutOfRange: ErrorCode.OFFSET_OUT_OF_RANGE,
    StorageFailed: ErrorCode.KAFKA_STORAGE_ERROR,
    OutOfOrderSequence: ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER,
    DuplicateSequence: ErrorCode.DUPLICATE_SEQUENCE_NUMBER,
    InvalidProducerEpoch: ErrorCode.INVALID_PRODUCER_EPOCH,
    InvalidGroup: ErrorCode.INVALID_GROUP_ID,
    InvalidSessionTimeout: ErrorCode.INVALID_SESSION_TIMEOUT,
    UnknownMember: ErrorCode.UNKNOWN_MEMBER_ID,
    IllegalGeneration: ErrorCode.ILLEGAL_GENERATION,
    InconsistentGroupProtocol: ErrorCode.INCONSISTENT_GROUP_PROTOCOL,
    RebalanceInProgress: ErrorCode.REBALANCE_IN_PROGRESS,
    FetchSessionNotFound: ErrorCode.FETCH_SESSION_ID_NOT_FOUND,
}


def error_code(error: BaseException | None) -> ErrorCode:
    """The Kafka error code that tells a client about an error; None is success."""
    if error is None:
        return ErrorCode.NONE
    return _CODES.get(type(error), ErrorCode.UNKNOWN_SERVER_ERROR)  # type: ignore[arg-type] # any class may be looked up
