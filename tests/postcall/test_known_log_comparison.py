"""The comparison of what is remembered with what the log is."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postcall.known_log.comparison import Finding, Memory, compare, find_contradictions, find_unequal_partitions
from postcall.known_log.identity import LogIdentity, OffsetRange, TopicIdentity
from postcall.known_log.positions import ReadPosition
from postcall.topics import EVENTS, WEBHOOKS

TOPIC = WEBHOOKS.name


def a_log(*ranges: tuple[int, int], cluster_id: str | None = "c", topic_id: str | None = "t") -> LogIdentity:
    partitions = tuple(OffsetRange(start=start, end=end) for start, end in ranges)
    return LogIdentity(cluster_id=cluster_id, topics={TOPIC: TopicIdentity(topic_id=topic_id, partitions=partitions)})


def remembered(next_offset: int, *, read_up_to: int | None = None, partition: int = 0, **position: Any) -> Memory:
    facts: dict[str, Any] = {"record_checksum": "w", "cluster_id": "c", "topic_id": "t", "partition_count": 1}
    facts |= position
    return Memory(
        position=ReadPosition(topic=TOPIC, partition=partition, next_offset=next_offset, **facts),
        read_up_to=max(next_offset, read_up_to or 0),
    )


@pytest.mark.parametrize(
    ("memory", "log", "witness", "kind", "numbers"),
    [
        # the log that is known
        (remembered(5), a_log((0, 9)), "w", None, None),
        (remembered(5), a_log((0, 5)), "w", None, None),
        (remembered(5), a_log((5, 9)), None, None, None),
        (remembered(0, record_checksum=None), a_log((0, 0)), None, None, None),
        (remembered(5, read_up_to=7), a_log((6, 9)), None, None, None),
        (remembered(5, cluster_id=None, topic_id=None), a_log((0, 9)), "w", None, None),
        (remembered(5), a_log((0, 9), cluster_id=None, topic_id=None), "w", None, None),
        (remembered(5, is_proven=False), a_log((0, 9)), "w", None, None),
        # unread records are gone
        (remembered(5), a_log((6, 9)), None, "records_lost", (5, 6, 1)),
        (remembered(0, record_checksum=None), a_log((3, 3)), None, "records_lost", (0, 3, 3)),
        (remembered(5, read_up_to=7), a_log((9, 9)), None, "records_lost", (7, 9, 2)),
        # another log
        (remembered(5), a_log((0, 4)), None, "made_anew", (5, 4, 1)),
        (remembered(5, read_up_to=7), a_log((0, 6)), "w", "made_anew", (7, 6, 1)),
        (remembered(5), a_log((0, 9)), "x", "made_anew", (5, 9, 4)),
        (remembered(5), a_log((0, 9)), "", "made_anew", (5, 9, 4)),
        (remembered(5), a_log((5, 9), topic_id="u"), None, "made_anew", (5, 9, 4)),
        (remembered(5), a_log((6, 9), cluster_id="d"), None, "made_anew", (5, 9, 4)),
        (remembered(5, record_checksum=None), a_log((0, 9), topic_id="u"), None, "made_anew", (5, 9, 4)),
        (remembered(5, partition=1), a_log((0, 9)), None, "made_anew", (5, 0, 5)),
        (remembered(5, partition_count=2), a_log((0, 9)), "w", "made_anew", (2, 1, 1)),
        (remembered(5, is_proven=False), a_log((0, 9), topic_id="u"), "w", "made_anew", (5, 9, 4)),
        # the same records elsewhere
        (remembered(5), a_log((0, 9), cluster_id="d", topic_id="u"), "w", "copied", (5, 5, 0)),
        (remembered(5), a_log((0, 9), topic_id="u"), "w", "copied", (5, 5, 0)),
        (remembered(0, record_checksum=None), a_log((0, 9), cluster_id="d"), None, "copied", (0, 0, 0)),
        # more partitions
        (remembered(5), a_log((0, 9), (0, 0)), "w", "more_partitions", (1, 2, 1)),
    ],
)
def test_each_contradiction_is_told_with_its_numbers(
    memory: Memory, log: LogIdentity, witness: str | None, kind: str | None, numbers: tuple[int, int, int] | None
) -> None:
    finding = compare(memory, log, witness)
    assert (finding and finding.kind) == kind
    assert (finding and (finding.from_offset, finding.to_offset, finding.count)) == numbers


IDS = st.sampled_from([None, "c", "d"])
OFFSETS = st.integers(0, 4)
LOGS = st.builds(
    lambda start, length, cluster_id, topic_id: a_log(
        (start, start + length), (0, 0), cluster_id=cluster_id, topic_id=topic_id
    ),
    OFFSETS,
    OFFSETS,
    IDS,
    IDS,
)
MEMORIES = st.builds(
    remembered,
    OFFSETS,
    read_up_to=st.integers(0, 8),
    record_checksum=st.sampled_from([None, "w"]),
    cluster_id=IDS,
    topic_id=IDS,
    partition_count=st.sampled_from([None, 1, 2, 3]),
)


@given(memory=MEMORIES, log=LOGS, witness=st.sampled_from([None, "w", "x", ""]))
def test_a_log_that_passes_contradicts_nothing(memory: Memory, log: LogIdentity, witness: str | None) -> None:
    position, topic = memory.position, log.topics[TOPIC]
    held = topic.partitions[0]
    match compare(memory, log, witness):
        case None:
            assert held.start <= memory.read_up_to <= held.end
            for known, found in (
                (position.record_checksum, witness),
                (position.cluster_id, log.cluster_id),
                (position.topic_id, topic.topic_id),
                (position.partition_count, len(topic.partitions)),
            ):
                assert known is None or found is None or known == found
        case Finding(kind="records_lost") as finding:
            assert (finding.from_offset, finding.to_offset) == (memory.read_up_to, held.start)
            assert finding.count == held.start - memory.read_up_to > 0
        case Finding(kind="copied"):
            assert witness is not None or (position.record_checksum is None and memory.read_up_to == held.start)


def test_what_concerns_a_topic_is_told_once_and_the_gravest_comes_first() -> None:
    memories = [remembered(5), remembered(0, partition=1, partition_count=2), remembered(9, partition=2)]
    findings = find_contradictions(memories, a_log((0, 9), (0, 0), (0, 3)), {(TOPIC, 0): "w"})
    assert [(finding.kind, finding.partition) for finding in findings] == [("made_anew", 2), ("more_partitions", None)]


def test_of_another_log_the_places_where_nothing_was_read_say_nothing() -> None:
    memories = [remembered(5), remembered(0, partition=1, record_checksum=None)]
    findings = find_contradictions(memories, a_log((0, 9), (0, 0), cluster_id="d"), {(TOPIC, 0): "x"})
    assert [(finding.kind, finding.partition) for finding in findings] == [("made_anew", 0)]


@pytest.mark.parametrize(("webhooks", "events"), list(itertools.product((1, 2), repeat=2)))
def test_topics_with_one_key_have_equally_many_partitions(webhooks: int, events: int) -> None:
    def topic_of(count: int) -> TopicIdentity:
        return TopicIdentity(topic_id=None, partitions=(OffsetRange(start=0, end=0),) * count)

    log = LogIdentity(cluster_id=None, topics={WEBHOOKS.name: topic_of(webhooks), EVENTS.name: topic_of(events)})
    finding = find_unequal_partitions(log)
    assert (finding is None) == (webhooks == events)
    assert [each.kind for each in find_contradictions([], log, {})] == ([] if finding is None else [finding.kind])


def test_a_finding_survives_its_file() -> None:
    finding = compare(remembered(5), a_log((6, 9)), None)
    assert finding is not None
    assert Finding.model_validate_json(finding.model_dump_json()) == finding
