"""One attempt at a generation: derived, made into a warehouse and compared; then promoted, or left without a trace."""

from __future__ import annotations

import shlex
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, aclosing, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from postcall.decisions import CutOver, GenerationPromoted
from postcall.errors import LogUnavailable, PostcallError
from postcall.generation_warehouses import TableDifference, WarehousePair, open_pair
from postcall.generations import Generation, read_generation, remember_generation
from postcall.log import encode
from postcall.log_connection import LogConnection
from postcall.settings import Configuration, Settings
from postcall.topics import events_topic
from streams.analyzers import ANALYZERS
from streams.appender import Appender
from streams.replay.events_cut_over import begin_groups, count_events, read_ends, read_frontier, until_planned
from streams.replay.events_derivation import Rederivation, read_session_ids
from streams.replay.events_topic import delete_topic, make_topic
from streams.replay.insights_cost import Estimate, estimate_cost
from streams.replay.insights_selection import Ask, Selected, Selection, select_sessions
from streams.stages import DERIVATIONS

_SOURCE: Final = "replay"

#: Shows what is done: given its name, a block that is told how much of how much.
Show = Callable[[str], AbstractContextManager[Callable[[int, int], None]]]


@dataclass(frozen=True, kw_only=True, slots=True)
class MissingInsights:
    """What an analyzer has no result for once the generation is live, and how it is asked for."""

    selection: Selection
    found: Selected
    estimate: Estimate
    command: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Attempt:
    """A generation that is derived, and not live."""

    live: Generation
    topic_id: str | None
    rederivation: Rederivation
    pair: WarehousePair
    events_before: int
    differences: Sequence[TableDifference]
    sessions_left_out: int
    missing_insights: Sequence[MissingInsights]

    @property
    def number(self) -> int:
        """The generation's."""
        return self.live.number + 1


async def derive_and_compare(log: LogConnection, configuration: Configuration, show: Show) -> Attempt:
    """Derive the next generation, and compare it with the live one. Cut short, it leaves nothing behind.

    :raises PostcallError: the log or the disk cannot be used, or the live generation is not known well enough.
    """
    live = await read_generation(log)
    frontier = await read_frontier(log, live)
    number = live.number + 1
    pair = open_pair(configuration, log, before=live.number, after=number)
    topic_id = await make_topic(log, number, configuration.read(Settings).topics)
    try:
        rederivation = Rederivation(DERIVATIONS["normalize"](configuration, number))
        await _derive(rederivation, frontier, log, show)
        with show("Making tables") as on_progress:
            async with aclosing(pair.make()) as making:
                async for records, total in making:
                    on_progress(records, total)
        going_on = await read_session_ids(log, frontier)
        return Attempt(
            live=live,
            topic_id=topic_id,
            rederivation=rederivation,
            pair=pair,
            events_before=await count_events(log, live),
            differences=pair.compare(going_on),
            sessions_left_out=len(going_on),
            missing_insights=tuple(_find_missing_insights(pair.ask, configuration)),
        )
    except BaseException:
        pair.discard()
        await delete_topic(log, number, topic_id=topic_id)
        raise


async def promote(attempt: Attempt, log: LogConnection, settings: Settings, show: Show) -> str | None:
    """Let the generation be the live one; returns the warehouse's file that serves, if one is kept here.

    :raises PostcallError: it cannot take over; the one before is live, and nothing is left of the attempt.
    """
    try:
        decision = await _prepare(attempt, log, show)
    except BaseException:
        await leave(attempt, log)
        raise
    # From here on it may be decided, whatever fails.
    await _append(attempt, decision, log)
    remember_generation(settings.data_dir, attempt.number)
    file = attempt.pair.switch()
    cut_over = decision.cut_over
    # The stages would do it as well, when they start.
    with suppress(LogUnavailable):
        await begin_groups(log, Generation(number=attempt.number, webhooks=cut_over.webhooks, events=cut_over.events))
    return file


async def _append(attempt: Attempt, decision: GenerationPromoted, log: LogConnection) -> None:
    try:
        async with _appender(log) as appender:
            # What cannot be read must be told, even if this ends here: what is known already changes nothing.
            await appender.append(list(attempt.rederivation.letters.values()))
            await appender.append([encode(decision, source=_SOURCE, time=decision.at)])
    except LogUnavailable as error:
        raise LogUnavailable(
            f"{error} Whether generation {attempt.number} is live, `postcall status` tells once the log is back."
        ) from error


async def leave(attempt: Attempt, log: LogConnection) -> None:
    """Delete what was derived: the topic, and both warehouses.

    :raises PostcallError: the log does not delete the topic; the next attempt will.
    """
    attempt.pair.discard()
    await delete_topic(log, attempt.number, topic_id=attempt.topic_id)


async def _prepare(attempt: Attempt, log: LogConnection, show: Show) -> GenerationPromoted:
    if (await read_generation(log)).number != attempt.live.number:
        raise PostcallError(
            f"Generation {attempt.live.number} is not the live one any more: somebody promoted another."
        )
    rederivation = attempt.rederivation
    # What came while a person was asked.
    await _derive(rederivation, await read_frontier(log, attempt.live), log, show)
    with show("Waiting for the stage plan"):
        await until_planned(log, attempt.live)
    return GenerationPromoted(
        generation=attempt.number,
        cut_over=CutOver(
            webhooks=rederivation.read_up_to,
            events=await read_ends(log, events_topic(attempt.number), topic_id=attempt.topic_id),
        ),
        at=datetime.now(UTC),
        counts={
            "deliveries": rederivation.deliveries,
            "events": rederivation.events,
            "dead_letters": len(rederivation.letters),
        },
    )


async def _derive(rederivation: Rederivation, frontier: dict[int, int], log: LogConnection, show: Show) -> None:
    total = sum(frontier.values())
    with show("Deriving events") as on_progress:
        async with _appender(log) as appender:
            await rederivation.derive_up_to(
                frontier, log=log, appender=appender, on_progress=lambda count: on_progress(count, total)
            )


@asynccontextmanager
async def _appender(log: LogConnection) -> AsyncIterator[Appender]:
    appender = Appender(log)
    try:
        yield appender
    finally:
        await appender.close()


def _find_missing_insights(ask: Ask, configuration: Configuration) -> Iterator[MissingInsights]:
    settings = configuration.read(Settings)
    for analyzer in ANALYZERS:
        selection = Selection(analyzer=analyzer.name, revision=analyzer.revision)
        found = select_sessions(selection, ask, reporting_timezone=settings.reporting_timezone)
        if found.work:
            yield MissingInsights(
                selection=selection,
                found=found,
                estimate=estimate_cost(
                    sessions=len(found.work),
                    turns=found.turns,
                    text_bytes=found.text_bytes,
                    analyzer=analyzer,
                    model=settings.openai_model,
                ),
                command=shlex.join(
                    ("postcall", "replay", "insights", "--analyzer", f"{analyzer.name}@{analyzer.revision}")
                ),
            )
