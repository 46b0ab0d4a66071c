"""A client that sends single requests in a chosen version: for what the real clients never send."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from aiokafka.record.default_records import DefaultRecordBatchBuilder
from kafka.protocol.producer import ProduceRequest, ProduceResponse


class WireClient:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._correlation_id = 0

    async def ask(self, request: Any, response_type: Any, *, version: int) -> Any:
        """Send a request and read its response."""
        self.send(request, version=version)
        return await self.receive(response_type, version=version)

    def send(self, request: Any, *, version: int) -> None:
        """Send a request only."""
        self._correlation_id += 1
        request.API_VERSION = version
        request.with_header(correlation_id=self._correlation_id, client_id="wire")
        self.send_bytes(request.encode(header=True, framed=True))

    def send_bytes(self, frame: bytes) -> None:
        """Send bytes that need not be a request."""
        self._writer.write(frame)

    async def receive(self, response_type: Any, *, version: int) -> Any:
        """Read the next response."""
        size = int.from_bytes(await self._reader.readexactly(4), "big")
        return response_type.decode(await self._reader.readexactly(size), version=version, header=True)

    async def is_closed(self) -> bool:
        """Read to the end; True once the broker has closed."""
        with contextlib.suppress(ConnectionError):
            await self._reader.read()
        return True

    async def produce(self, topic: str, *batches: bytes, version: int = 8) -> list[Any]:
        """Append one batch to each of the topic's first partitions; returns the partitions' responses."""
        request = ProduceRequest(
            transactional_id=None,
            acks=-1,
            timeout_ms=1000,
            topic_data=[
                ProduceRequest.TopicProduceData(
                    name=topic,
                    partition_data=[
                        ProduceRequest.TopicProduceData.PartitionProduceData(index=index, records=batch)
                        for index, batch in enumerate(batches)
                    ],
                )
            ],
        )
        response = await self.ask(request, ProduceResponse, version=version)
        return sorted(response.responses[0].partition_responses, key=lambda partition: int(partition.index))


@contextlib.asynccontextmanager
async def wire_client(address: str) -> AsyncIterator[WireClient]:
    """A connection to a broker."""
    host, port = address.split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        yield WireClient(reader, writer)
    finally:
        writer.transport.abort()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


def record_batch(
    *values: bytes, producer_id: int = -1, epoch: int = -1, sequence: int = -1, timestamp_ms: int = 1_000
) -> bytes:
    """A record batch as a producer sends it, uncompressed; the timestamps rise by one."""
    builder = DefaultRecordBatchBuilder(
        magic=2,
        compression_type=0,
        is_transactional=False,
        producer_id=producer_id,
        producer_epoch=epoch,
        base_sequence=sequence,
        batch_size=64 * 1024 * 1024,
    )
    for offset, value in enumerate(values):
        builder.append(offset, timestamp=timestamp_ms + offset, key=None, value=value, headers=[])
    return bytes(builder.build())
