"""Whether everything that was delivered has become what it will become."""

from __future__ import annotations

from dataclasses import dataclass

from postcall.lag import read_log_state
from postcall.private_api import PrivateApi

_CHECKPOINTS = """
    SELECT topic, partition, min(next_offset) AS next_offset
    FROM checkpoints GROUP BY ALL
"""
_COUNTS = """
    SELECT
        (SELECT count(*) FROM webhooks) AS webhooks,
        (SELECT count(*) FROM sessions) AS sessions,
        (SELECT count(*) FROM transcripts) AS transcripts,
        (SELECT count(*) FROM recordings WHERE state = 'stored') AS recordings,
        (SELECT count(*) FROM current_insights WHERE analyzer = 'summary' AND state = 'done') AS insights,
        (SELECT count(*) FROM dead_letters) AS dead_letters,
        (SELECT count(*) FROM sessions ANTI JOIN recordings USING (session_id) WHERE recording_expected)
            AS recordings_pending,
        (SELECT count(*) FROM sessions WHERE ended_at IS NOT NULL AND session_id NOT IN (
            SELECT session_id FROM current_insights WHERE analyzer = 'summary' AND NOT is_stale)) AS insights_pending
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Counts:
    """What is in the warehouse now; `…_pending` is work that is still to come."""

    webhooks: int = 0
    sessions: int = 0
    transcripts: int = 0
    recordings: int = 0
    insights: int = 0
    dead_letters: int = 0
    recordings_pending: int = 0
    insights_pending: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """The counts, and what still stands between them and the end."""

    counts: Counts
    lag: int
    projection_lag: int

    @property
    def is_settled(self) -> bool:
        """Nothing is unread, undone or unprojected."""
        pending = self.counts.recordings_pending + self.counts.insights_pending
        return self.lag == self.projection_lag == pending == 0


async def read_progress(api: PrivateApi, log: str) -> Progress:
    """Look at the log first and at the warehouse after it, so that what is missed is counted as lag.

    :raises PostcallError: one of them does not answer.
    """
    state = await read_log_state(log)
    checkpoints = {(row["topic"], row["partition"]): row["next_offset"] for row in await api.rows(_CHECKPOINTS)}
    projection_lag = sum(
        max(0, mark - checkpoints.get((place.topic, place.partition), 0))
        for place, mark in state.high_watermarks.items()
        if place.topic in {topic for topic, _ in checkpoints}
    )
    (row,) = await api.rows(_COUNTS)
    lag = sum(stage.lag for stage in state.stages)
    return Progress(counts=Counts(**row), lag=lag, projection_lag=projection_lag)
