"""A door in front of a real log."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.ingest.doors import Door, open_door


@pytest.fixture
async def door(log_address: str) -> AsyncIterator[Door]:
    """A door that is open, in front of an empty log."""
    async with open_door(log_address) as opened:
        await opened.until_ready()
        yield opened
