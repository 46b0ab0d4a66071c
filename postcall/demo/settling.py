"""Whether everything that was delivered has become what it will become."""

from __future__ import annotations

from dataclasses import dataclass

from postcall.lag import read_log_state
from postcall.log_connection import LogConnection
from postcall.private_api import PrivateApi

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
        (SELECT count(*) FROM sessions ANTI JOIN insights USING (session_id, input_hash) WHERE input_hash IS NOT NULL)
            AS insights_pending
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
    """The counts, and how many records stages and projections have still to read."""

    counts: Counts
    lag: int

    @property
    def is_settled(self) -> bool:
        """Nothing is unread, undone or unprojected."""
        return self.lag == self.counts.recordings_pending == self.counts.insights_pending == 0


async def read_progress(api: PrivateApi, log: LogConnection) -> Progress:
    """Look at the log first and at the warehouse after it, so that what is missed is counted as lag.

    :raises PostcallError: one of them does not answer.
    """
    state = await read_log_state(log)
    unread = await api.unread()
    (row,) = await api.rows(_COUNTS)
    return Progress(counts=Counts(**row), lag=sum(stage.lag for stage in state.stages) + unread)
