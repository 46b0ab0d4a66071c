"""One run of the copy: look at both logs, compare what both have, copy the rest, read it back, move the groups.

Records that arrive in the source meanwhile are left for the next run. The groups' offsets are read before the ends of
the partitions, so no group of the target is ahead of its records.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from postcall.log_connection import LogConnection
from postcall.log_copy.admission import check_source, check_target
from postcall.log_copy.errors import CopyBroken, CopyRefused, name_of
from postcall.log_copy.groups import check_unused, commit_group_offsets, read_group_offsets
from postcall.log_copy.partitions import CopiedTopic, CopyProgress, PartitionCopier
from postcall.log_copy.reading import open_reader
from postcall.log_copy.survey import LogSurvey, survey_log
from postcall.log_copy.writing import open_target_producer
from postcall.topic_creation import create_topics
from postcall.topic_settings import Difference, TopicSettings

#: With these a topic would change or drop what is copied to it.
_HARMFUL: Final = frozenset({"cleanup.policy", "message.timestamp.type", "retention.bytes", "retention.ms"})


@dataclass(frozen=True, kw_only=True, slots=True)
class CopyReport:
    """What came of a run.

    :param groups: consumer groups whose committed offsets were copied.
    :param left: records that arrived in the source during the run, and are not copied.
    :param other_topics: topics of the source that are not ours, and were not copied.
    :param differences: what the target's topics are not like, and the copy does not mind.
    """

    topics: tuple[CopiedTopic, ...]
    groups: tuple[str, ...]
    left: int
    other_topics: tuple[str, ...]
    differences: tuple[Difference, ...]


async def copy_log(
    source: LogConnection,
    target: LogConnection,
    *,
    wanted: TopicSettings,
    progress: CopyProgress,
    silence_limit_s: float = 30.0,
) -> CopyReport:
    """Make the target a copy of what the source holds now.

    :param wanted: what topics are to be like; their partitions are the source's, and nothing of them is dropped.
    :param silence_limit_s: a log that sends or takes nothing for so long is given up.
    :raises CopyRefused: it cannot be done; no record was written.
    :raises RecordsMissing: the source has lost records, or loses them meanwhile.
    :raises CopyBroken: the target does not take a record or does not give it back; what was copied stays.
    :raises LogUnavailable: one of the logs does not answer; what was copied stays.
    """
    groups = await read_group_offsets(source)
    before, there = await survey_log(source), await survey_log(target)
    check_source(before)
    check_target(before, there)
    await check_unused(target, groups)
    copier = PartitionCopier(before, there, progress)
    async with (
        open_reader(source, silence_limit_s=silence_limit_s) as source_reader,
        open_reader(target, silence_limit_s=silence_limit_s) as target_reader,
    ):
        await copier.compare(source_reader, target_reader)
        differences = await _make_topics(target, before.partitions, wanted)
        async with open_target_producer(target, silence_limit_s=silence_limit_s) as producer:
            await copier.copy(source_reader, target_reader, producer)
    await commit_group_offsets(target, groups)
    _check_ends(before, await survey_log(target))
    after = await survey_log(source)
    return CopyReport(
        topics=tuple(copier.topics()),
        groups=tuple(groups),
        left=sum(after.end_of(place) - before.end_of(place) for place in before.offsets),
        other_topics=before.other_topics,
        differences=differences,
    )


async def _make_topics(
    target: LogConnection, partitions: Mapping[str, int], wanted: TopicSettings
) -> tuple[Difference, ...]:
    names_by_count: dict[int, list[str]] = defaultdict(list)
    for name, count in partitions.items():
        names_by_count[count].append(name)
    differences: list[Difference] = []
    for count, names in names_by_count.items():
        report = await create_topics(target, replace(wanted, partitions=count, retention_days=None), names=names)
        differences += report.differences
    for difference in differences:
        if difference.setting in _HARMFUL:
            raise CopyRefused(
                f"{difference.topic} on {target} would not keep a copy: it has {difference.setting}={difference.found}."
                " Delete the topic there, if it is empty; the copy makes it anew."
            )
    return tuple(differences)


def _check_ends(source: LogSurvey, target: LogSurvey) -> None:
    for place, offsets in source.offsets.items():
        if target.offsets.get(place) != offsets:
            raise CopyBroken(
                f"{name_of(place)} on {target.log} has changed since it was copied: does something else write to it, or"
                " drop its records? Stop that, and copy again to learn which record differs."
            )
