"""Which stages a law is for."""

from __future__ import annotations

import pytest

from tests.streams.laws.subjects import (
    Insights,
    LedgerWork,
    LocalInsights,
    Normalize,
    Plan,
    Recordings,
    Subject,
)

#: Those that derive records from records.
TRANSFORMS = (Normalize, Plan)
#: Those that act upon something outside.
ACTING = (Recordings, Insights, LedgerWork)
EVERY = (*TRANSFORMS, *ACTING)
EVERY_ENGINE = (*EVERY, LocalInsights)


def for_stages(*kinds: type[Subject]) -> pytest.MarkDecorator:
    """Let `bench` be each of these."""
    return pytest.mark.parametrize("bench", kinds, indirect=True, ids=lambda kind: kind.__name__)
