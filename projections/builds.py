"""Builds: a projection's tables as one set of statements made them, in a schema of their own.

One build of a projection serves. Beside it there may be a later one, of changed statements, that is still being made
from the log's beginning; once it has caught up it takes the place of the other in one transaction.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from projections.checkpoints import Checkpoint, Place, place_of

#: Of a build that lags behind the others by more records than this, the records are fetched apart.
_NEAR_RECORDS: Final = 2_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Build:
    """A build, and whether it is the one that people see."""

    projection: str
    number: int
    fingerprint: str
    is_serving: bool

    @property
    def schema(self) -> str:
        """The schema that its tables are in."""
        return f"{self.projection}_{self.number}"

    @property
    def key(self) -> tuple[str, int]:
        """What tells it from all others."""
        return self.projection, self.number


def split_by_place(
    builds: Collection[Build], checkpoints: Iterable[Checkpoint]
) -> tuple[frozenset[Build], frozenset[Build]]:
    """Those that read at the front of the log, and those that have to catch up first."""
    offsets: dict[tuple[str, int], dict[Place, int]] = {build.key: {} for build in builds}
    for checkpoint in checkpoints:
        if checkpoint.build in offsets:
            offsets[checkpoint.build][place_of(checkpoint.position)] = checkpoint.position.next_offset
    front = _front(offsets.values())
    live = frozenset(
        build
        for build in builds
        if build.is_serving
        and sum(front[place] - offset for place, offset in offsets[build.key].items()) <= _NEAR_RECORDS
    )
    if not live:
        return frozenset(builds), frozenset()
    return live, frozenset(builds) - live


def of_builds(builds: Collection[Build], checkpoints: Iterable[Checkpoint]) -> list[Checkpoint]:
    """The checkpoints of these builds."""
    keys = {build.key for build in builds}
    return [checkpoint for checkpoint in checkpoints if checkpoint.build in keys]


def _front(offsets: Iterable[Mapping[Place, int]]) -> dict[Place, int]:
    front: dict[Place, int] = {}
    for each in offsets:
        for place, offset in each.items():
            front[place] = max(offset, front.get(place, 0))
    return front
