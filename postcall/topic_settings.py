"""What every topic is to be like on the log, and in what one that is there differs from that.

Only values: `postcall.topic_creation` asks the log. Nothing here or there ever changes a topic that exists.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from postcall.errors import SettingsError
from postcall.topics import DECISIONS, MAX_RECORD_BYTES

_MS_PER_DAY: Final = 86_400_000
#: More of these is as good.
_AT_LEAST: Final = frozenset({"max.message.bytes", "min.insync.replicas"})


@dataclass(frozen=True, kw_only=True, slots=True)
class TopicSettings:
    """What is wanted of every topic.

    :param retention_days: records older than this may go; None = none ever goes.
    :raises SettingsError: a number makes no sense.
    """

    partitions: int = 4
    replication_factor: int = 1
    retention_days: float | None = None

    def __post_init__(self) -> None:
        for name, value in (
            ("PARTITIONS", self.partitions),
            ("REPLICATION_FACTOR", self.replication_factor),
            ("RETENTION_DAYS", self.retention_days),
        ):
            if value is not None and value <= 0:
                raise SettingsError(f"POSTCALL_{name}={value:g} must be above 0.")

    def configs(self, replication_factor: int | None = None) -> dict[str, str]:
        """The configs of a topic that has so many replicas; None = as many as are wanted.

        An acknowledged record is durable. With one replica that takes a flush: every reader keeps positions, and a
        tail lost in a power cut would contradict them, in derived topics too. With more it takes a second copy.
        """
        replicas = self.replication_factor if replication_factor is None else replication_factor
        retention_ms = -1 if self.retention_days is None else round(self.retention_days * _MS_PER_DAY)
        return {
            "cleanup.policy": "delete",
            "max.message.bytes": str(MAX_RECORD_BYTES),
            "message.timestamp.type": "CreateTime",
            "retention.bytes": "-1",
            "retention.ms": str(retention_ms),
        } | ({"flush.messages": "1"} if replicas == 1 else {"min.insync.replicas": "2"})

    def configs_of(self, topic: str, replication_factor: int | None = None) -> dict[str, str]:
        """The configs of this topic. Decisions never go: with the last of them, what was decided would be undone."""
        kept = {"retention.ms": "-1"} if topic == DECISIONS.name else {}
        return self.configs(replication_factor) | kept


@dataclass(frozen=True, kw_only=True, slots=True)
class TopicState:
    """A topic as the log tells it; `configs` is None where the log does not let us read them."""

    name: str
    partitions: int
    replication_factor: int
    configs: Mapping[str, str] | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """A topic that is not as it is wanted: in what, and what a person can do."""

    topic: str
    setting: str
    found: str
    wanted: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.topic}: {self.setting} is {self.found}, wanted {self.wanted}. {self.remedy}"


def find_differences(state: TopicState, wanted: TopicSettings) -> Iterator[Difference]:
    """In what a topic differs; of its configs only those that the log tells."""
    if state.partitions != wanted.partitions:
        yield Difference(
            topic=state.name,
            setting="partitions",
            found=str(state.partitions),
            wanted=str(wanted.partitions),
            remedy=f"If all topics have {state.partitions}, set POSTCALL_PARTITIONS={state.partitions}; partitions"
            " cannot be taken away, and more of them part a session's earlier records from its later ones.",
        )
    if state.replication_factor != wanted.replication_factor:
        yield Difference(
            topic=state.name,
            setting="replication factor",
            found=str(state.replication_factor),
            wanted=str(wanted.replication_factor),
            remedy=f"Set POSTCALL_REPLICATION_FACTOR={state.replication_factor},"
            " or let kafka-reassign-partitions.sh add or remove replicas.",
        )
    # By the replicas it has: how its records are made durable follows from them.
    for name, value in wanted.configs_of(state.name, state.replication_factor).items():
        found = (state.configs or {}).get(name)
        if found is not None and not _satisfies(name, found, value):
            yield Difference(
                topic=state.name, setting=name, found=found, wanted=value, remedy=_alter_line(state.name, name, value)
            )


def _satisfies(name: str, found: str, wanted: str) -> bool:
    return int(found) >= int(wanted) if name in _AT_LEAST else found == wanted


def _alter_line(topic: str, name: str, value: str) -> str:
    what = f"--entity-type topics --entity-name {topic} --add-config {name}={value}"
    line = f"kafka-configs.sh --bootstrap-server $POSTCALL_KAFKA --alter {what}"
    return f"Set POSTCALL_RETENTION_DAYS, or run: {line}" if name == "retention.ms" else f"Run: {line}"
