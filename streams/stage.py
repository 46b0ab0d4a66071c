"""The contract of a stage: one step of the pipeline, which reads one topic."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sequence

from postcall.dead_letters import ErrorClass
from postcall.generations import Generation
from postcall.records import Record
from postcall.topics import Topic, stage_group, stage_input
from streams.breaker import Breaker
from streams.journal import Journal
from streams.kept_positions import KeptPositions
from streams.vigil import Vigil


class Stage(ABC):
    """One Faust app with its own consumer group, reading one topic.

    Who calls what, and when an offset moves
    - `catch_up(partition)` is called once a partition is assigned, and `own(partition)` after it, unless the partition
      was taken away meanwhile. The stage is ready when it owns all that was first assigned to it.
    - `take(records)` is called with up to about a hundred records, in log order within each partition, never twice at
      once. Their offsets move after it has returned, and only then: all that it sent must be acknowledged by the log
      and all that it wrote must be on disk. A crash before that means the same records again, so doing them twice
      must come to the same.
    - `disown(partitions)` is called when partitions are revoked, after `take` is done with all that it was given.
    - `drain()` is called when the process is to stop, before Faust is stopped; `take` may still be called after it.
    - `finish(limit_s)` is called after either, while this process still counts as the partitions' owner.

    What may block
    - `take` is short: it waits for the log's acknowledgements and for a local transaction, nothing else. Slow work is
      filed there and done elsewhere (see `streams.slow_stage`), because a rebalance waits for `take`.
    - `catch_up` may read the log for minutes; `own`, `disown` and `drain` may not block at all.
    - `finish` may take as long as it was given: the group waits for it, so that nobody begins the same work again.

    What may raise
    - Records that cannot be read are the stage's business: it sets them aside as dead letters and returns.
    - Anything that `take` raises means: our own code, the log or the disk failed. The caller calls again with the same
      records, one by one. It pauses, and says so once, for as long as the log or the disk fails, or as our code fails
      with one record after the other: nothing is skipped and nothing is set aside meanwhile. A record that alone fails,
      again and again, while others get through, is given to `set_aside`.
    - What `open`, `catch_up` and `tend` raise ends the process.

    What a crash means
    - What `take` is called with is noted in `journal` before. After a process that ended meanwhile, those records are
      taken one by one, and one that has ended the process too often is given to `set_aside` without being tried again.
    - A `take` that loops is such a crash: the process is killed when its event loop is silent for too long.
    """

    #: Names the consumer group, the files and the log lines.
    name: str
    #: Keeps a stage from acting once it has slept through its session; None = what it does may be repeated.
    vigil: Vigil | None = None
    #: What it remembers of the log; kept by the stage itself, and compared with the log before it reads.
    positions: KeptPositions
    #: What it is working on; kept by the caller of `take`, in the stage's own file.
    journal: Journal
    #: Tells whether slow work pauses; None = there is none.
    breaker: Breaker | None = None
    #: The generation of events that it works in; a stage that neither reads nor writes them is always in the first.
    generation: Generation = Generation()

    @property
    def reads(self) -> Topic:
        """The topic that this stage consumes."""
        return stage_input(self.name, self.generation.number)

    @property
    def follows(self) -> tuple[Topic, ...]:
        """All topics of which it remembers positions: the one that it consumes, and what it catches up with."""
        return (self.reads,)

    @property
    def group(self) -> str:
        """The consumer group."""
        return stage_group(self.name, self.generation.number)

    async def open(self) -> None:  # noqa: B027 - not every stage holds something
        """Make ready, before anything is consumed.

        :raises PostcallError: it cannot run; says why.
        """

    def forget(self) -> None:
        """Know nothing of the log any more: it is another one. Called before anything is consumed."""
        self.positions.forget()
        self.journal.forget()

    async def close(self) -> None:  # noqa: B027 - as above
        """Let go of everything, within a few seconds; called after the last `take`."""

    async def catch_up(self, partition: int) -> None:  # noqa: B027 - as above
        """Learn from the log what is known about a partition.

        :raises StageCrashed: the log has changed since it was looked at.
        """

    async def tend(self) -> None:
        """What there is to do beside `take`, until cancelled."""
        await asyncio.get_running_loop().create_future()

    def own(self, partition: int) -> None:  # noqa: B027 - as above
        """Begin to act on this partition."""

    def disown(self, partitions: frozenset[int]) -> None:  # noqa: B027 - as above
        """Begin nothing more on these partitions; what is under way may end."""

    def drain(self) -> None:  # noqa: B027 - as above
        """Begin no more slow work: the process is about to stop."""

    async def finish(self, limit_s: float) -> None:  # noqa: B027 - as above
        """Let slow work that is under way end, for so long; what takes longer goes on, and may be done twice."""

    def gets_through(self, record: Record) -> bool:  # noqa: ARG002 - what cannot fail need not look
        """Whether our own code gets through this record; has no effect, and never raises."""
        return True

    @abstractmethod
    async def set_aside(self, record: Record, *, error_class: ErrorClass, reason: str, attempts: int) -> None:
        """Append the dead letter of a record that could not be taken, durably.

        :raises LogUnavailable: it may be appended all the same; so may it be again.
        """

    @abstractmethod
    async def take(self, records: Sequence[Record]) -> None:
        """Do with the records what this stage is for, durably; see the class."""
