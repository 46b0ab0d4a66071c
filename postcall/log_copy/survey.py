"""What a log holds of ours: topics, where their partitions begin and end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from postcall.errors import LogUnavailable
from postcall.kafka import open_admin, open_consumer
from postcall.log_connection import LogConnection

#: What the names of our topics begin with.
TOPIC_PREFIX: Final = "postcall."


@dataclass(frozen=True, kw_only=True, slots=True)
class LogSurvey:
    """A log at one moment.

    :param partitions: the number of partitions of each of our topics.
    :param offsets: for each of those partitions, from the log start offset to the log end offset.
    :param other_topics: topics that are not ours.
    """

    log: LogConnection
    cluster_id: str | None
    partitions: Mapping[str, int]
    offsets: Mapping[TopicPartition, range]
    other_topics: tuple[str, ...]

    def end_of(self, place: TopicPartition) -> int:
        """The log end offset of a partition; 0 if it is not there."""
        return self.offsets[place].stop if place in self.offsets else 0


async def survey_log(log: LogConnection) -> LogSurvey:
    """Look at a log.

    :raises LogUnavailable: it does not answer.
    """
    try:
        async with open_admin(log) as admin:
            cluster = await admin.describe_cluster()
            names = [name for name in await admin.list_topics() if not name.startswith("__")]
            ours = sorted(name for name in names if name.startswith(TOPIC_PREFIX))
            described = await admin.describe_topics(ours) if ours else []
        partitions = {topic["topic"]: len(topic["partitions"]) for topic in described}
        places = [TopicPartition(name, number) for name in ours for number in range(partitions[name])]
        offsets = await _read_offsets(log, places) if places else {}
    except KafkaError as error:
        raise LogUnavailable(f"The log at {log} does not answer: {error!r}.") from error
    return LogSurvey(
        log=log,
        cluster_id=cluster.get("cluster_id") or None,
        partitions=partitions,
        offsets=offsets,
        other_topics=tuple(sorted(set(names) - set(ours))),
    )


async def _read_offsets(log: LogConnection, places: list[TopicPartition]) -> dict[TopicPartition, range]:
    async with open_consumer(log) as consumer:
        # Else it asks for the leaders of one topic after the other, a tenth of a second each.
        consumer.assign(places)
        consumer.pause(*places)
        starts = await consumer.beginning_offsets(places)
        ends = await consumer.end_offsets(places)
    return {place: range(starts[place], ends[place]) for place in places}
