"""The door's link to the log: kept up in the background, used by every request.

An append returns when the log has acknowledged it with all in-sync replicas, and fails when it has not in time. A
record that was handed to the producer may still become durable after that failure: the vendor's repeat then gives
the same event, so nothing is counted twice. A client that goes away never takes its record back.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, MessageSizeTooLargeError

from ingest.errors import BodyTooLarge
from postcall.errors import LogUnavailable
from postcall.kafka import open_producer
from postcall.log_connection import LogConnection
from postcall.records import NewRecord
from postcall.topic_creation import DifferenceLog, TopicsReport, create_topics
from postcall.topic_settings import TopicSettings
from postcall.topics import ALL_TOPICS

logger = logging.getLogger(__name__)

#: A vendor's patience is not documented; a record that takes longer than this is reported as not stored.
APPEND_DEADLINE_S = 8.0
_PROBE_DEADLINE_S = 2.0
_CLOSE_DEADLINE_S = 5.0
_RETRY_DELAY_S = 0.5
# Requests that wait while a produce request is under way share the next one, so no linger is needed. aiokafka's own
# batch size of 16 kB would hold five deliveries and make all others queue one round trip behind the other.
_MAX_BATCH_BYTES = 1024 * 1024
# A half-open connection is given up after this long, and what it carried is sent again on a new one.
_REQUEST_TIMEOUT_MS = 10_000


class Appender:
    """Appends records; use `open_appender` to make one."""

    def __init__(self, log: LogConnection, *, topics: TopicSettings, deadline_s: float) -> None:
        self.connected = asyncio.Event()
        self._log = log
        self._topics = topics
        self._differences = DifferenceLog()
        self._deadline_s = deadline_s
        self._producer: AIOKafkaProducer | None = None
        self._doubted = asyncio.Event()
        self._is_broken = False
        self._lost_because: str | None = None

    async def append(self, record: NewRecord) -> None:
        """Append one record, durably.

        :raises LogUnavailable: not acknowledged in time; it may become durable all the same.
        :raises BodyTooLarge: the log takes no record of this size.
        """
        try:
            async with asyncio.timeout(self._deadline_s):
                await self._send(record)
        except TimeoutError:
            self._doubted.set()
            raise LogUnavailable(f"The log did not acknowledge within {self._deadline_s:g} s.") from None
        except MessageSizeTooLargeError:
            raise BodyTooLarge("The log takes no record of this size.") from None
        except KafkaError as error:
            # Retriable errors never get here: this producer cannot go on, a new one can.
            self._is_broken = True
            self._doubted.set()
            raise LogUnavailable(f"The log refused an append: {error!r}.") from error

    async def is_ready(self) -> bool:
        """Whether the log answers right now, and has our topics."""
        if self._producer is None:
            return False
        try:
            async with asyncio.timeout(_PROBE_DEADLINE_S):
                cluster = await self._producer.client.fetch_all_metadata()
        except (TimeoutError, KafkaError, OSError):
            self._doubted.set()
            return False
        return {topic.name for topic in ALL_TOPICS} <= set(cluster.topics())

    async def keep_connected(self) -> None:
        """Make the topics and hold a producer, for ever; a log that is down is waited for."""
        while True:
            try:
                await self._reach_log()
                async with _closing_soon(self._log) as producer:
                    await self._serve(producer)
            except LogUnavailable as error:
                self._say_lost(error)
                await asyncio.sleep(_RETRY_DELAY_S)

    async def _send(self, record: NewRecord) -> None:
        producer = self._producer
        while producer is None:
            await self.connected.wait()
            producer = self._producer
        acknowledgement = await producer.send(
            record.topic, key=record.key, value=record.value, headers=list(record.headers)
        )
        # What was handed over is out of our hands: aiokafka sends it even if this future is cancelled.
        await acknowledgement

    async def _serve(self, producer: AIOKafkaProducer) -> None:
        self._is_broken = False
        self._producer = producer
        self.connected.set()
        try:
            while not self._is_broken:
                await self._doubted.wait()
                self._doubted.clear()
                if not self._is_broken:
                    await self._reach_log()
        finally:
            self._producer = None
            self.connected.clear()

    async def _reach_log(self) -> None:
        while True:
            try:
                found = await create_topics(self._log, self._topics)
            except LogUnavailable as error:
                self._say_lost(error)
                await asyncio.sleep(_RETRY_DELAY_S)
                continue
            self._say_found(found)
            return

    def _say_lost(self, error: LogUnavailable) -> None:
        if str(error) != self._lost_because:
            logger.warning("The log cannot be used, trying on: %s", error, extra={"action": "log_lost"})
        self._lost_because = str(error)

    def _say_found(self, found: TopicsReport) -> None:
        if self._lost_because:
            logger.info("The log answers again", extra={"action": "log_found"})
        if found.made:
            logger.info("Topics made", extra={"action": "topics_made", "topics": len(found.made)})
        self._differences.tell(found.differences)
        self._lost_because = None


@contextlib.asynccontextmanager
async def open_appender(
    log: LogConnection,
    *,
    topics: TopicSettings,
    on_end: Callable[[], None],
    deadline_s: float = APPEND_DEADLINE_S,
) -> AsyncIterator[Appender]:
    """An appender that connects in the background, and flushes when the block ends.

    :param on_end: called when it can connect no more; then leave the block, which raises the cause.
    """
    appender = Appender(log, topics=topics, deadline_s=deadline_s)
    keeper = asyncio.create_task(appender.keep_connected())
    keeper.add_done_callback(lambda _: on_end())
    try:
        yield appender
    finally:
        keeper.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await keeper


@contextlib.asynccontextmanager
async def _closing_soon(log: LogConnection) -> AsyncIterator[AIOKafkaProducer]:
    """A producer whose closing, which flushes, does not wait for ever for a log that is gone."""
    opened = open_producer(log, linger_ms=0, max_batch_size=_MAX_BATCH_BYTES, request_timeout_ms=_REQUEST_TIMEOUT_MS)
    producer = await opened.__aenter__()
    try:
        yield producer
    finally:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_DEADLINE_S):
                await opened.__aexit__(None, None, None)
