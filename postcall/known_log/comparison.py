"""What a reader remembers against what the log is: the one comparison that every reader makes before it reads.

A position alone proves little: a log that was made anew may already be longer than it. So three witnesses are asked:
the ids of cluster and topic, the record before the position, and where the partition begins and ends. Nothing is read
here; see `postcall.known_log.witnesses`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict

from postcall.known_log.identity import LogIdentity, OffsetRange, TopicIdentity
from postcall.known_log.positions import ReadPosition
from postcall.topics import ALL_TOPICS, generation_of

#: `records_lost`: the log begins after what was to be read next. `made_anew`: another log, or a shorter one.
#: `copied`: the same records under other ids. `more_partitions`, `unequal_partitions`: a session may lie in two.
Kind = Literal["records_lost", "made_anew", "copied", "more_partitions", "unequal_partitions"]

_KEYED_BY_SESSION: Final = frozenset(topic.name for topic in ALL_TOPICS if topic.key == "session id")
_GRAVEST_FIRST: Final[tuple[Kind, ...]] = ("made_anew", "records_lost", "more_partitions", "copied")


class Finding(BaseModel):
    """A contradiction, in numbers and in a sentence.

    `from_offset` is where the reader would have gone on, `to_offset` where the log has something to read (or ends),
    and `count` how many records lie between; for partitions, the counts before and now.
    `checksum` is that of the record that the reader remembers. `has_other_ids`: cluster or topic are not the same.
    """

    model_config = ConfigDict(frozen=True)

    kind: Kind
    topic: str
    partition: int | None
    from_offset: int
    to_offset: int
    count: int
    reason: str
    checksum: str | None = None
    has_other_ids: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Memory:
    """What a reader knows of a partition.

    :param read_up_to: what is before it was read, by this reader or, as its group says, by another machine.
    """

    position: ReadPosition
    read_up_to: int


def compare(memory: Memory, log: LogIdentity, witness: str | None) -> Finding | None:
    """Compare what is remembered of one partition with the log.

    :param witness: the checksum of the record that the log has before the position: None where it keeps none that far
        back, empty where it has none at that offset.
    """
    topic = log.topics.get(memory.position.topic)
    if topic is None or memory.position.partition >= len(topic.partitions):
        return _find_missing(memory.position, log, topic)
    case = _Case(memory, log, topic, witness)
    return case.find_other_log() or case.find_loss() or case.find_copy() or case.find_other_count()


def find_unequal_partitions(log: LogIdentity) -> Finding | None:
    """Whether topics with the same key have different numbers of partitions."""
    counts = {
        name: len(topic.partitions)
        for name, topic in log.topics.items()
        if name in _KEYED_BY_SESSION or generation_of(name) is not None
    }
    if len(set(counts.values())) < 2:
        return None
    fewest, most = min(counts, key=counts.__getitem__), max(counts, key=counts.__getitem__)
    reason = (
        f"{most} has {counts[most]} partitions, and {fewest} has {counts[fewest]}: a session may lie in two of them."
    )
    return Finding(
        kind="unequal_partitions",
        topic=most,
        partition=None,
        from_offset=counts[fewest],
        to_offset=counts[most],
        count=counts[most] - counts[fewest],
        reason=reason,
    )


def find_contradictions(
    memories: Iterable[Memory], log: LogIdentity, witnesses: Mapping[tuple[str, int], str]
) -> list[Finding]:
    """All that contradicts what is remembered, the gravest first; what concerns a whole topic once."""
    found = {
        (finding.kind, finding.topic, finding.partition): finding
        for memory in memories
        if (finding := compare(memory, log, witnesses.get((memory.position.topic, memory.position.partition))))
    }
    findings = sorted(found.values(), key=lambda finding: _GRAVEST_FIRST.index(finding.kind))
    if findings and findings[0].kind == "made_anew":
        # Of another log, the places in which nothing was read yet say nothing.
        findings = [finding for finding in findings if finding.kind != "copied"]
    unequal = find_unequal_partitions(log)
    return [*findings, unequal] if unequal is not None else findings


def _differs(remembered: str | None, found: str | None) -> bool:
    # A log that does not say is not another one.
    return None not in (remembered, found) and remembered != found


def _has_other_ids(position: ReadPosition, log: LogIdentity, topic: TopicIdentity | None) -> bool:
    is_other_cluster = _differs(position.cluster_id, log.cluster_id)
    return is_other_cluster or (topic is not None and _differs(position.topic_id, topic.topic_id))


def _find_missing(position: ReadPosition, log: LogIdentity, topic: TopicIdentity | None) -> Finding:
    count = len(topic.partitions) if topic is not None else 0
    return Finding(
        kind="made_anew",
        topic=position.topic,
        partition=position.partition,
        from_offset=position.next_offset,
        to_offset=0,
        count=position.next_offset,
        reason=f"{position.topic}/{position.partition} was read, and the topic has {count} partitions now.",
        checksum=position.record_checksum,
        has_other_ids=_has_other_ids(position, log, topic),
    )


@dataclass(frozen=True, slots=True)
class _Case:
    """One partition that is there: what is remembered of it, and how it is now."""

    memory: Memory
    log: LogIdentity
    topic: TopicIdentity
    witness: str | None

    @property
    def position(self) -> ReadPosition:
        return self.memory.position

    @property
    def place(self) -> str:
        return f"{self.position.topic}/{self.position.partition}"

    @property
    def range(self) -> OffsetRange:
        return self.topic.partitions[self.position.partition]

    @property
    def has_other_ids(self) -> bool:
        return _has_other_ids(self.position, self.log, self.topic)

    def find_other_log(self) -> Finding | None:
        read_up_to, end = self.memory.read_up_to, self.range.end
        if end < read_up_to:
            reason = f"{self.place} was read up to offset {read_up_to}, and the log ends at offset {end}."
        elif _differs(self.position.record_checksum, self.witness):
            offset = self.position.next_offset - 1
            reason = f"{self.place} has another record at offset {offset} than the one that was read there."
        elif self.has_other_ids and not self._may_be_copy():
            reason = f"{self.place} belongs to another log, and nothing there shows that it is a copy of the one read."
        else:
            return None
        return self._finding("made_anew", end, reason)

    def _may_be_copy(self) -> bool:
        """Whether the record that was read is there; where nothing was read, there is nothing to show.

        A record that was read before anybody noticed another log is there too, and shows nothing.
        """
        nothing_read = self.position.record_checksum is None and self.memory.read_up_to == self.range.start
        return nothing_read or (self.witness is not None and self.position.is_proven)

    def find_loss(self) -> Finding | None:
        read_up_to, start = self.memory.read_up_to, self.range.start
        if start <= read_up_to:
            return None
        reason = (
            f"The log has lost what was not read yet: {start - read_up_to} records of {self.place}, "
            f"from offset {read_up_to} to {start - 1}."
        )
        return self._finding("records_lost", start, reason)

    def find_copy(self) -> Finding | None:
        if not self.has_other_ids:
            return None
        reason = f"{self.place} has the records that were read, in another cluster or topic: it is a copy of the log."
        return self._finding("copied", self.memory.read_up_to, reason)

    def find_other_count(self) -> Finding | None:
        before, now = self.position.partition_count, len(self.topic.partitions)
        if before is None or before == now:
            return None
        is_more = now > before
        hint = " Records of a session that is under way may lie in two of them." if is_more else ""
        return Finding(
            kind="more_partitions" if is_more else "made_anew",
            topic=self.position.topic,
            partition=None,
            from_offset=before,
            to_offset=now,
            count=abs(now - before),
            reason=f"{self.position.topic} had {before} partitions, and has {now} now.{hint}",
        )

    def _finding(self, kind: Kind, to_offset: int, reason: str) -> Finding:
        return Finding(
            kind=kind,
            topic=self.position.topic,
            partition=self.position.partition,
            from_offset=self.memory.read_up_to,
            to_offset=to_offset,
            count=abs(to_offset - self.memory.read_up_to),
            reason=reason,
            checksum=self.position.record_checksum,
            has_other_ids=self.has_other_ids,
        )
