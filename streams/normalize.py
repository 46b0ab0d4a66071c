"""The stage `normalize`: raw deliveries become domain events, in no vendor's words.

What a vendor's body means is the vendor's module's business (`postcall.sources`); here it is only led through.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import orjson
from pydantic_core import PydanticSerializationError

from postcall.deliveries import RawDelivery
from postcall.errors import UnreadableRecord
from postcall.log import encode
from postcall.records import NewRecord, Record
from postcall.sources.base import Source
from postcall.topics import EVENTS, Topic

# What writing an event raises for content that JSON or UTF-8 cannot hold: integers above 64 bits, lone surrogates,
# nesting without end.
_UNWRITABLE = (orjson.JSONEncodeError, PydanticSerializationError, UnicodeEncodeError, RecursionError)


def normalize(record: Record, sources: Mapping[str, Source], *, topic: Topic = EVENTS) -> Sequence[NewRecord]:
    """The domain events of one delivery: none for a type that says nothing to us.

    :param topic: where the events of the generation go.
    :raises UnreadableRecord: the delivery cannot be read as an event of its vendor.
    """
    delivery = RawDelivery.from_record(record)
    source = sources.get(delivery.source)
    if source is None:
        raise UnreadableRecord(
            f"The delivery came from {delivery.source!r}, which is no source that we know.", error_class="vendor"
        )
    try:
        return [
            encode(event, source=delivery.source, time=delivery.received_at, causation=record.position, topic=topic)
            for event in source.normalize(delivery)
        ]
    except _UNWRITABLE as error:
        raise UnreadableRecord("The body holds a value that cannot be written as JSON.") from error
