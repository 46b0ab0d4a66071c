"""What a warehouse has at one moment: the rows of each projection, and how far they were read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from projections.checkpoints import Place
from projections.reading import WarehouseReader


@dataclass(frozen=True, kw_only=True, slots=True)
class Stock:
    """Counts of rows and the statements that made them, by projection, and the offsets that were read next.

    Where projections stand at different offsets in a partition, those that are behind the others are left out.
    """

    rows: Mapping[str, int]
    fingerprints: Mapping[str, str]
    offsets: Mapping[Place, int]


def take_stock(warehouse: WarehouseReader) -> Stock:
    """Count, at one state of the warehouse."""
    with warehouse.snapshot() as reader:
        serving = reader.execute(
            "SELECT projection, build, fingerprint FROM base.builds"
            " JOIN base.views ON name = projection WHERE is_serving ORDER BY place"
        ).fetchall()
        places = reader.execute(
            "SELECT projection, kafka_topic, kafka_partition, next_offset FROM base.checkpoints"
            " SEMI JOIN (FROM base.builds WHERE is_serving) USING (projection, build)"
        ).fetchall()
        offsets: dict[Place, int] = {}
        for _, topic, partition, offset in places:
            offsets[topic, partition] = max(offset, offsets.get((topic, partition), 0))
        behind = {name for name, topic, partition, offset in places if offset < offsets[topic, partition]}
        # The names are those of our own files, or were checked to be plain words.
        counts = {
            name: reader.execute(f'SELECT count(*) FROM main."{name}"').fetchall()[0][0]  # noqa: S608 - see above
            for name, *_ in serving
        }
    return Stock(
        rows=counts,
        fingerprints={name: fingerprint for name, _, fingerprint in serving if name not in behind},
        offsets=offsets,
    )
