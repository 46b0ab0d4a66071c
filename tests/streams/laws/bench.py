"""Where a stage is put under the laws: a log, records in it, and members that run, one after the other or together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from postcall.dead_letters import DeadLetter
from postcall.log import open_record
from postcall.records import NewRecord, Record
from postcall.topics import DEAD_LETTERS
from streams.slow_stage import SlowStage
from streams.stage import Stage
from streams.transform import TransformStage
from tests.streams.laws.outside import Outside
from tests.streams.laws.subjects import Result, Subject
from tests.streams.log_contents import append_all, count_records, read_all
from tests.streams.running import running
from tests.waiting import eventually


class OwnCode:
    """Stands before a stage's own code: counts what it is called for, and can make it fail."""

    def __init__(self) -> None:
        self.called: Counter[str] = Counter()
        self.fails: Callable[[str], bool] = lambda _: False

    def call(self, session_id: str) -> None:
        """Called for each record or request."""
        self.called[session_id] += 1
        if self.fails(session_id):
            raise ZeroDivisionError("My boiler is leaking")

    def put_into(self, stage: Stage) -> None:
        """Let this stage go through here."""
        if isinstance(stage, TransformStage):
            derive = stage._derive

            def derive_or_fail(record: Record) -> object:
                self.call((record.key or b"").decode())
                return derive(record)

            vars(stage)["_derive"] = derive_or_fail
        elif isinstance(stage, SlowStage):
            worker = stage._worker
            perform = worker.perform

            async def perform_or_fail(request: object, *, attempt: int) -> object:
                self.call(request.session_id)  # type: ignore[attr-defined]  # every request has one
                return await perform(request, attempt=attempt)

            vars(worker)["perform"] = perform_or_fail


class Bench:
    """One stage on one log."""

    def __init__(self, subject: Subject, log: str, folder: Path) -> None:
        self.subject = subject
        self.log = log
        self.own_code = OwnCode()
        #: What its members told of pauses; None = it goes on.
        self.pauses: list[str | None] = []
        self._folder = folder

    @property
    def outside(self) -> Outside:
        """What the stage acts upon."""
        assert self.subject.outside is not None
        return self.subject.outside

    @property
    def is_paused(self) -> bool:
        """What was told last."""
        return bool(self.pauses) and self.pauses[-1] is not None

    def build(self, member: str = "first") -> Stage:
        """A member, with files of its own; one of another name knows nothing but the log."""
        data_dir = self._folder / member
        data_dir.mkdir(exist_ok=True)
        stage = self.subject.build(self.log, data_dir)
        self.own_code.put_into(stage)
        return stage

    def running(self, member: str = "first") -> AbstractAsyncContextManager[None]:
        """Run a member; it stops in order when the block ends."""
        return self.running_stage(self.build(member), member)

    def running_stage(self, stage: Stage, member: str = "first") -> AbstractAsyncContextManager[None]:
        """Run what `build` has made."""
        return running(stage, log=self.log, data_dir=self._folder / member, on_pause=self.pauses.append)

    def sources(self, *sessions: str) -> list[NewRecord]:
        """One record for each."""
        return [self.subject.source(session_id) for session_id in sessions]

    async def put(self, *sessions: str) -> None:
        """Append one record for each."""
        await append_all(self.log, self.sources(*sessions))

    async def put_unreadable(self, *numbers: int) -> None:
        """Append records that nobody can use."""
        await append_all(self.log, [self.subject.unreadable(number) for number in numbers])

    def expected(self, sessions: Iterable[str]) -> set[Result]:
        """What one record for each leads to."""
        return {result for source in self.sources(*sessions) for result in self.subject.expect(source)}

    async def results(self) -> list[Result]:
        """All that the stage has appended, repeats too."""
        return [Result.read(record) for record in await read_all(self.log, self.subject.results)]

    async def has_results(self, count: int) -> bool:
        """Whether the stage has appended so many."""
        return await count_records(self.log, self.subject.results) >= count

    async def until_done(self, *sessions: str) -> None:
        """Return once the log has what these lead to."""
        expected = self.expected(sessions)

        async def is_done() -> bool:
            if await count_records(self.log, self.subject.results) < len(expected):
                return False
            return expected <= set(await self.results())

        await eventually(is_done, timeout_s=60)

    async def letters(self) -> list[DeadLetter]:
        """All that was set aside, repeats too."""
        messages = [open_record(record).message for record in await read_all(self.log, DEAD_LETTERS)]
        return [message for message in messages if isinstance(message, DeadLetter)]

    async def until_letters(self, count: int) -> None:
        """Return once so many records were set aside."""

        async def are_there() -> bool:
            return len({letter.id for letter in await self.letters()}) >= count

        await eventually(are_there, timeout_s=60)

    async def find(self, letter: DeadLetter) -> Record:
        """The record that a dead letter points at."""
        place = (letter.kafka_topic, letter.kafka_partition, letter.kafka_offset)
        records = await read_all(self.log, self.subject.reads)
        return next(each for each in records if (each.topic, each.partition, each.offset) == place)
