"""Opening the warehouse of a data directory, whatever state it is in: it can always be made again from the log."""

from __future__ import annotations

import logging
from pathlib import Path

from projections.definitions import SHIPPED_ONLY, DefinitionsSource
from projections.errors import WarehouseDamaged
from projections.files import make_serving, next_path, remove, serving_path, set_aside
from projections.warehouse import Warehouse

logger = logging.getLogger(__name__)


def open_serving(data_dir: Path, *, reporting_timezone: str, source: DefinitionsSource = SHIPPED_ONLY) -> Warehouse:
    """Open the serving warehouse, or an empty one where there is none, it is damaged, or its layout is outdated.

    :raises WarehouseHeld: another process has it open.
    """
    path = serving_path(data_dir)
    is_new, definitions = not path.exists(), source.load()
    try:
        warehouse = Warehouse(path, definitions, reporting_timezone=reporting_timezone)
    except WarehouseDamaged as error:
        quarantine(path, error)
        warehouse = Warehouse(path, definitions, reporting_timezone=reporting_timezone)
    if not warehouse.is_current:
        warehouse = _replace(warehouse, path)
    elif is_new:
        make_serving(path)
    return warehouse


def quarantine(path: Path, error: Exception) -> None:
    """Set a damaged warehouse, which nobody has open, aside."""
    moved = set_aside(path, reason="corrupt")
    logger.error(
        "Warehouse is damaged, making it again from the log: %s",
        error,
        extra={"action": "quarantined", "moved_to": moved.name},
    )


def _replace(outdated: Warehouse, path: Path) -> Warehouse:
    logger.warning(
        "Warehouse is of another release, making it again from the log",
        extra={"action": "rebuild_started", "file": path.name},
    )
    outdated.close()
    warehouse = open_successor(outdated)
    make_serving(Path(warehouse.path))
    remove(path)
    return warehouse


def open_successor(known: Warehouse) -> Warehouse:
    """An empty warehouse beside one whose rows are of no use."""
    successor = next_path(Path(known.path))
    remove(successor)
    return Warehouse(successor, known.definitions, reporting_timezone=known.reporting_timezone)


def retire(known: Warehouse, successor: Warehouse) -> None:
    """Let the successor serve, and keep the one that was made from another log aside."""
    known.close()
    moved = set_aside(Path(known.path), reason="other-log")
    make_serving(Path(successor.path))
    logger.warning(
        "Log is another one, making the warehouse again from it",
        extra={"action": "rebuild_started", "file": Path(successor.path).name, "moved_to": moved.name},
    )
