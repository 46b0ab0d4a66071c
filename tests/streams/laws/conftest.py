"""A bench for each stage that a law names."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.streams.laws.bench import Bench
from tests.streams.laws.subjects import opened


@pytest.fixture
async def bench(request: pytest.FixtureRequest, log: str, tmp_path: Path) -> AsyncIterator[Bench]:
    """The stage that `for_stages` names, and an empty log."""
    async with opened(request.param) as subject:
        yield Bench(subject, log, tmp_path)
