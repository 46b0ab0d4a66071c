"""The records: those that both logs have are compared, the rest is copied and read back."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from aiokafka import AIOKafkaProducer, TopicPartition

from postcall.log_copy.digests import PartitionDigest, is_same
from postcall.log_copy.errors import CopyDiffers, TargetNotEmpty, name_of
from postcall.log_copy.reading import PartitionReader
from postcall.log_copy.survey import LogSurvey
from postcall.log_copy.writing import open_appender


@dataclass(kw_only=True)
class CopyProgress:
    """How far a run is, for whoever shows it. A record that is copied counts twice: written, and read back."""

    doing: str = "Looking at both logs"
    done: int = 0
    total: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class CopiedTopic:
    """A topic of which both logs hold the same.

    :param copied: records that this run copied; the others were there before.
    :param sha256: over the hashes of its partitions; the same for the same records wherever they lie.
    """

    topic: str
    partitions: int
    records: int
    copied: int
    content_bytes: int
    sha256: str


class PartitionCopier:
    """Makes the partitions of the target what those of the source were when both were looked at."""

    def __init__(self, source: LogSurvey, target: LogSurvey, progress: CopyProgress) -> None:
        self._source = source
        self._target = target
        self._progress = progress
        self._digests: dict[TopicPartition, PartitionDigest] = {}
        progress.total = sum(2 * self._end(place) - self._beginning(place) for place in source.offsets)

    async def compare(self, source: PartitionReader, target: PartitionReader) -> None:
        """Compare what the target holds with the beginning of the source.

        :raises TargetNotEmpty: they differ; says from where on.
        :raises PostcallError: one of the logs cannot be read.
        """
        for place in self._source.offsets:
            digest = self._digests[place] = PartitionDigest()
            offsets = range(self._beginning(place))
            if offsets:
                self._progress.doing = f"Comparing {name_of(place)}"
            present = target.read(place, offsets)
            async for record in source.read(place, offsets):
                if not is_same(record, await anext(present)):
                    raise self._not_the_same(place, record.offset)
                digest.add(record)
                self._progress.done += 1

    async def copy(self, source: PartitionReader, target: PartitionReader, producer: AIOKafkaProducer) -> None:
        """Copy what the target does not hold yet, and read it back.

        :raises CopyDiffers: something else was read back.
        :raises PostcallError: one of the logs cannot be read, or the target cannot be written.
        """
        for place in self._source.offsets:
            digest = self._digests[place]
            offsets = range(self._beginning(place), self._end(place))
            wanted = digest.copy()
            self._progress.doing = f"Copying {name_of(place)}"
            async with open_appender(producer, place, next_offset=offsets.start) as appender:
                async for record in source.read(place, offsets):
                    wanted.add(record)
                    await appender.append(record)
                    self._progress.done += 1
            self._progress.doing = f"Verifying {name_of(place)}"
            async for record in target.read(place, offsets):
                digest.add(record)
                self._progress.done += 1
            if digest.hexdigest() != wanted.hexdigest():
                raise self._differs(place)

    def topics(self) -> Iterator[CopiedTopic]:
        """What both logs hold now."""
        for topic, count in self._source.partitions.items():
            places = [TopicPartition(topic, number) for number in range(count)]
            digests = [self._digests[place] for place in places]
            yield CopiedTopic(
                topic=topic,
                partitions=count,
                records=sum(digest.records for digest in digests),
                copied=sum(self._end(place) - self._beginning(place) for place in places),
                content_bytes=sum(digest.content_bytes for digest in digests),
                sha256=hashlib.sha256("".join(digest.hexdigest() for digest in digests).encode()).hexdigest(),
            )

    def _beginning(self, place: TopicPartition) -> int:
        return self._target.end_of(place)

    def _end(self, place: TopicPartition) -> int:
        return self._source.end_of(place)

    def _not_the_same(self, place: TopicPartition, offset: int) -> TargetNotEmpty:
        return TargetNotEmpty(
            f"{name_of(place)} on {self._target.log} is not empty, and no copy of this log: the record at offset"
            f" {offset} differs. Delete the topic on the target, or name another target.",
            place,
            offset,
        )

    def _differs(self, place: TopicPartition) -> CopyDiffers:
        return CopyDiffers(
            f"{name_of(place)} on {self._target.log} does not give back what was copied to it. Copy again to learn"
            " which record differs.",
            place,
        )
