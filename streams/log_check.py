"""Before a stage reads: is this the log that it knows, and from where does its group go on?

A stage has two memories. Its *own positions* (see `streams.kept_positions`) tell what was read here, with witnesses;
its group's *committed offsets* lie in the log, are shared by all machines, and tell from where Faust goes on. Either
may be ahead: after a crash the stage's own, since they are written before the commit, and where another machine has
read meanwhile the group's. What is before the farther of the two was read. Faust begins at the committed offset all
the same; what lies between is done again, and comes to the same.

Kafka forgets the offsets of a group that stood still for a week. Then our own positions are committed for it, before
the stage joins it: a consumer that is told to begin at the earliest record, or the latest, would do so silently.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import NoReturn

from postcall.errors import LogUnavailable
from postcall.generations import watch_generation
from postcall.known_log.acceptance import LOOK_INTERVAL_S
from postcall.known_log.comparison import Finding, Memory, find_contradictions
from postcall.known_log.hold import Hold, mismatch_of
from postcall.known_log.identity import LogIdentity, read_identity
from postcall.known_log.positions import ReadPosition
from postcall.known_log.watch import WATCH_INTERVAL_S, prove_read, watch_log
from postcall.known_log.witnesses import read_witnesses
from postcall.log_connection import LogConnection
from postcall.topics import topics_of
from streams.errors import StageCrashed
from streams.failures import describe_failure, is_dependency_failure, pause_after
from streams.group_offsets import commit_for_group, read_committed
from streams.stage import Stage

logger = logging.getLogger(__name__)

# Longer than a session may be silent (see `streams.faust_app`).
_DEAD_MEMBER_LIMIT_S = 15.0


@dataclass(frozen=True, kw_only=True, slots=True)
class _Look:
    """The log, what the group has committed in it, and what contradicts the stage's memory."""

    log: LogIdentity
    committed: dict[int, int]
    findings: Sequence[Finding]

    @property
    def is_other_log(self) -> bool:
        return any(finding.kind == "made_anew" for finding in self.findings)


class LogCheck:
    """Looks at the log for one stage.

    :param hold: None = a contradiction is raised.
    """

    def __init__(
        self, stage: Stage, *, log: LogConnection, hold: Hold | None, watch_interval_s: float = WATCH_INTERVAL_S
    ) -> None:
        self._stage = stage
        self._log = log
        self._hold = hold
        self._watch_interval_s = watch_interval_s
        self._refused_at: float | None = None

    async def until_changed(self, known: LogIdentity) -> NoReturn:
        """Watch over the log while the stage reads it.

        :raises StageCrashed: it became another one.
        """
        change = await watch_log(self._log, known, note_read=self._note_read, interval_s=self._watch_interval_s)
        raise StageCrashed(f"The log changed under the running stage: {change}. Looking at it again.")

    async def until_replaced(self) -> NoReturn:
        """Watch over the decisions while the stage works.

        :raises GenerationReplaced: another generation of events is the live one.
        """
        await watch_generation(self._log, self._stage.generation.number)

    async def prove(self, known: LogIdentity) -> None:
        """Look once more before the end; see `prove_read`."""
        await prove_read(self._log, known, note_read=self._note_read)

    async def _note_read(self) -> Callable[[], Awaitable[None]]:
        positions = self._stage.positions.all()

        async def prove() -> None:
            # On a full disk what was read is less surely known, and that is all.
            with contextlib.suppress(sqlite3.Error):
                self._stage.positions.prove(positions)

        return prove

    async def until_known(self) -> LogIdentity:
        """Return once the log is the one that the stage knows, or was accepted, and its group can go on in it.

        :raises LogMismatch: it is not, and nothing holds this stage.
        """
        failures = 0
        while True:
            try:
                look = await self._look()
                if self._may_go_on(look) and await self._settle(look):
                    return look.log
                await asyncio.sleep(LOOK_INTERVAL_S)
            except Exception as error:
                if not is_dependency_failure(error):
                    raise
                if not failures:
                    logger.warning("Waiting for the log: %s", describe_failure(error), extra={"action": "log_awaited"})
                failures += 1
                await asyncio.sleep(min(pause_after(failures), LOOK_INTERVAL_S))

    def _may_go_on(self, look: _Look) -> bool:
        if self._hold is not None:
            return self._hold.passes(look.log, look.findings)
        if look.findings:
            raise mismatch_of(look.findings)
        return True

    async def _look(self) -> _Look:
        partitions = len((await self._read_log()).topics[self._stage.reads.name].partitions)
        committed = await read_committed(self._log, self._stage.group, self._stage.reads, partitions=partitions)
        memories = self._remember(committed)
        # Its ends are read after what was committed: other members go on meanwhile, and would seem to be ahead of it.
        log = await self._read_log()
        witnesses = await read_witnesses(self._log, (memory.position for memory in memories), log)
        return _Look(log=log, committed=committed, findings=find_contradictions(memories, log, witnesses))

    async def _read_log(self) -> LogIdentity:
        log = await read_identity(self._log, [topic.name for topic in topics_of(self._stage.generation.number)])
        missing = [topic.name for topic in self._stage.follows if topic.name not in log.topics]
        if missing:
            raise LogUnavailable(f"the topic {missing[0]} is not there yet")
        return log

    def _remember(self, committed: dict[int, int]) -> list[Memory]:
        topic = self._stage.reads.name
        known = {(each.topic, each.partition): each for each in self._stage.positions.all()}
        for partition, offset in committed.items():
            known.setdefault((topic, partition), ReadPosition(topic=topic, partition=partition, next_offset=offset))
        return [
            Memory(
                position=position,
                read_up_to=max(position.next_offset, committed.get(position.partition, 0))
                if position.topic == topic
                else position.next_offset,
            )
            for position in known.values()
        ]

    async def _settle(self, look: _Look) -> bool:
        """Make both memories those of this log; False if the group must be waited for."""
        positions = self._settled_positions(look)
        # The group first: a crash in between finds the same contradiction again, and the same acceptance.
        if not await self._settle_group(look, positions):
            return False
        if look.is_other_log:
            self._stage.forget()
        known = self._stage.positions.all()
        # Nothing is written where nothing is new: it must also start on a full disk.
        self._stage.positions.keep(position for position in positions if position not in known)
        return True

    def _settled_positions(self, look: _Look) -> list[ReadPosition]:
        return [
            self._settled_position(topic.name, partition, look)
            for topic in self._stage.follows
            for partition in range(len(look.log.topics[topic.name].partitions))
        ]

    def _settled_position(self, topic: str, partition: int, look: _Look) -> ReadPosition:
        found = look.log.topics[topic]
        start = found.partitions[partition].start
        known = None if look.is_other_log else self._stage.positions.find(topic, partition)
        if known is None or known.next_offset < start:
            begin = min(self._stage.generation.begin(topic, partition), found.partitions[partition].end)
            known = ReadPosition(topic=topic, partition=partition, next_offset=max(start, begin))
        return replace(
            known, cluster_id=look.log.cluster_id, topic_id=found.topic_id, partition_count=len(found.partitions)
        )

    async def _settle_group(self, look: _Look, positions: Sequence[ReadPosition]) -> bool:
        stage = self._stage
        ranges = look.log.topics[stage.reads.name].partitions
        own = {each.partition: each.next_offset for each in positions if each.topic == stage.reads.name}
        unusable = {
            partition: offset
            for partition, offset in own.items()
            if partition not in look.committed
            or not ranges[partition].start <= look.committed[partition] <= ranges[partition].end
        }
        wanted = own if look.is_other_log else unusable
        if not wanted:
            return True
        if await commit_for_group(self._log, stage.group, stage.reads, wanted):
            self._say_committed(look, wanted)
            return True
        # Members that live have looked at this log themselves; one that was killed is a member for a while yet.
        return self._has_waited_for_the_dead() and not unusable

    def _has_waited_for_the_dead(self) -> bool:
        now = time.monotonic()
        if self._refused_at is None:
            self._refused_at = now
            logger.info(
                "Group has other members, which may alone move it; waiting whether they stay",
                extra={"action": "group_awaited", "stage": self._stage.name},
            )
        return now - self._refused_at > _DEAD_MEMBER_LIMIT_S

    def _say_committed(self, look: _Look, offsets: dict[int, int]) -> None:
        facts = {"stage": self._stage.name, "offsets": ",".join(f"{p}:{offset}" for p, offset in offsets.items())}
        known = any(each.topic == self._stage.reads.name for each in self._stage.positions.all())
        if self._stage.generation.number > 1 and not known:
            logger.info("Group begins where its generation does", extra={"action": "group_begun", **facts})
        elif look.is_other_log or not known:
            gone = sum(offsets.values())
            logger.info(
                "Group begins at the log's start; %d records before it are not there any more",
                gone,
                extra={"action": "group_begun", **facts},
            )
        else:
            logger.warning(
                "Group goes on from the stage's own positions where it had no offset that the log still has",
                extra={"action": "group_restored", **facts},
            )
