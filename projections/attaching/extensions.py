"""The two DuckDB extensions that the attach needs, from their wheels: nothing is fetched over the network."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import duckdb

from projections.attaching.errors import ExtensionsMissing

#: `quack` speaks the protocol; it takes its random numbers, and a client its HTTP, from `httpfs`.
_NAMES: Final = ("httpfs", "quack")


def find_extensions() -> tuple[Path, ...]:
    """The files to load, in this order.

    :raises ExtensionsMissing: they are not installed, or not for this version of DuckDB.
    """
    return tuple(_find_extension(name) for name in _NAMES)


def _find_extension(name: str) -> Path:
    spec = find_spec(f"duckdb_extension_{name}")
    if spec is None or not spec.submodule_search_locations:
        raise ExtensionsMissing(
            f"POSTCALL_ATTACH_PORT needs DuckDB's extension {name}, which comes with the extra `quack`: "
            "pip install --constraint constraints.txt --editable '.[quack]'"
        )
    # A wheel holds the extension for exactly one release of DuckDB, which loads no other.
    folder = Path(spec.submodule_search_locations[0]) / "extensions"
    file = folder / f"v{duckdb.__version__}" / f"{name}.duckdb_extension"
    if not file.is_file():
        versions = ", ".join(_versions_in(folder)) or "none"
        raise ExtensionsMissing(
            f"DuckDB's extension {name} is installed for {versions}, and DuckDB is v{duckdb.__version__}: "
            "they must be the same. constraints.txt names versions that fit."
        )
    return file


def _versions_in(folder: Path) -> Iterator[str]:
    return (each.name for each in sorted(folder.glob("v*")))
