"""What the tests of replays share: past calls, and a model that counts what it is paid for."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.streams.replay.paid_model import PaidModel, running_paid_model
from tests.streams.replay.past_calls import PastCalls


@pytest.fixture
async def model() -> AsyncIterator[PaidModel]:
    """The model."""
    async with running_paid_model() as model:
        yield model


@pytest.fixture
def calls(log: str, tmp_path: Path, model: PaidModel) -> PastCalls:
    """A log with its topics, and nothing in it."""
    return PastCalls(log, tmp_path / "streams", model)
