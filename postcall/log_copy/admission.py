"""Which copies are refused before anything is written, each with the reason and what to do."""

from __future__ import annotations

from aiokafka import TopicPartition

from postcall.log_copy.errors import CopyRefused, RecordsMissing, TargetNotEmpty, name_of
from postcall.log_copy.survey import TOPIC_PREFIX, LogSurvey


def check_source(source: LogSurvey) -> None:
    """Check that the source can be copied with its offsets.

    :raises CopyRefused: it has nothing of ours.
    :raises RecordsMissing: retention removed the beginning of a partition.
    """
    if not source.partitions:
        raise CopyRefused(f"The log at {source.log} has no topic whose name begins with {TOPIC_PREFIX}")
    for place, offsets in source.offsets.items():
        if offsets.start:
            raise RecordsMissing(
                f"{name_of(place)} on {source.log} begins at offset {offsets.start}: retention removed"
                f" {offsets.start} records, so a copy could not keep the offsets of the others.",
                place,
                0,
            )


def check_target(source: LogSurvey, target: LogSurvey) -> None:
    """Check that the target may become a copy of the source, as far as that shows without reading records.

    :raises CopyRefused: it may not; says why.
    """
    if source.cluster_id and source.cluster_id == target.cluster_id:
        raise CopyRefused(f"{target.log} is the log that is to be copied (cluster {source.cluster_id}): name another.")
    for topic, count in target.partitions.items():
        wanted = source.partitions.get(topic)
        if wanted is not None and wanted != count:
            raise CopyRefused(
                f"{topic} has {count} partitions on {target.log} and {wanted} in the source, and a copy keeps each"
                " record in its partition. Delete the topic on the target, if it is empty; the copy makes it anew."
            )
    for place, offsets in target.offsets.items():
        _check_end(source, target, place, offsets)


def _check_end(source: LogSurvey, target: LogSurvey, place: TopicPartition, offsets: range) -> None:
    end = source.end_of(place)
    if offsets.start:
        raise TargetNotEmpty(
            f"{name_of(place)} on {target.log} begins at offset {offsets.start}: records were removed there, so it"
            " cannot become a copy. Delete the topic on the target; the copy makes it anew.",
            place,
            0,
        )
    if offsets.stop > end:
        raise TargetNotEmpty(
            f"{name_of(place)} on {target.log} is not empty, and no copy of this log: it holds {offsets.stop} records,"
            f" the source {end}. Delete the topic on the target, or name another target.",
            place,
            end,
        )
