"""The topics of the log: the one table that the code, the docs and `postcall topics` read.

*Primary* topics cannot be made again and want a backup; the others are derived from them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

#: The largest body accepted at the door, in bytes.
MAX_BODY_BYTES = 10 * 1024 * 1024
#: The largest record, and the largest fetch and produce request, in bytes, for every client and every log.
MAX_RECORD_BYTES = 24 * 1024 * 1024

Key = Literal["session id", "subject"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Topic:
    """A topic: its full name, what its records hold, and whether it can be made again."""

    name: str
    key: Key
    holds: str
    is_primary: bool


def events_topic(generation: int) -> Topic:
    """Domain events as one normalizer derived them; a corrected one writes the next generation, from 1."""
    return Topic(
        name=f"postcall.events-g{generation}",
        key="session id",
        holds=f"vendor-neutral domain events of generation {generation}, as JSON",
        is_primary=False,
    )


_EVENTS_NAME: Final = re.compile(r"postcall\.events-g([1-9][0-9]{0,8})")


def generation_of(topic: str) -> int | None:
    """The generation whose events a topic of this name holds; None = it holds others."""
    match = _EVENTS_NAME.fullmatch(topic)
    return int(match[1]) if match else None


WEBHOOKS = Topic(
    name="postcall.webhooks", key="session id", holds="the exact body bytes of every delivery", is_primary=True
)
EVENTS = events_topic(1)
RECORDING_REQUESTS = Topic(
    name="postcall.recording-requests", key="session id", holds="recordings to download, as JSON", is_primary=False
)
ANALYSIS_REQUESTS = Topic(
    name="postcall.analysis-requests", key="session id", holds="transcripts to analyze, as JSON", is_primary=False
)
ANALYSIS_BACKFILL = Topic(
    name="postcall.analysis-backfill",
    key="session id",
    holds="transcripts to analyze once no live one waits, as JSON",
    is_primary=False,
)
RECORDINGS = Topic(
    name="postcall.recordings", key="session id", holds="what became of each download, as JSON", is_primary=True
)
INSIGHTS = Topic(
    name="postcall.insights", key="session id", holds="what became of each analysis, as JSON", is_primary=True
)
DECISIONS = Topic(
    name="postcall.decisions",
    key="subject",
    holds="what people decided, and the runs that they began, as JSON",
    is_primary=True,
)
DEAD_LETTERS = Topic(
    name="postcall.dead-letters",
    key="session id",
    holds="the reason why a record was set aside, and a pointer to it, as JSON",
    is_primary=False,
)

ALL_TOPICS: tuple[Topic, ...] = (
    WEBHOOKS,
    EVENTS,
    RECORDING_REQUESTS,
    ANALYSIS_REQUESTS,
    ANALYSIS_BACKFILL,
    RECORDINGS,
    INSIGHTS,
    DECISIONS,
    DEAD_LETTERS,
)

#: What each stage consumes in the first generation; `stage_input` knows the others.
STAGE_INPUTS: dict[str, Topic] = {
    "normalize": WEBHOOKS,
    "plan": EVENTS,
    "recordings": RECORDING_REQUESTS,
    "insights": ANALYSIS_REQUESTS,
}
#: The stages that write or read the events of one generation; the others know of none.
GENERATION_STAGES: Final = frozenset({"normalize", "plan"})


def topics_of(generation: int) -> tuple[Topic, ...]:
    """All topics, with the events of this generation."""
    return tuple(events_topic(generation) if topic is EVENTS else topic for topic in ALL_TOPICS)


def stage_input(stage: str, generation: int = 1) -> Topic:
    """What a stage consumes while this generation is the live one."""
    topic = STAGE_INPUTS[stage]
    return events_topic(generation) if topic is EVENTS else topic


def stage_group(stage: str, generation: int = 1) -> str:
    """A stage's consumer group. Where the stage is of a generation, so is the group: each begins at its own offsets."""
    if STAGE_INPUTS[stage] is EVENTS or (stage in GENERATION_STAGES and generation > 1):
        return f"postcall.{stage}-g{generation}"
    return f"postcall.{stage}"
