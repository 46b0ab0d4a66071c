"""What an export says of itself, in `_manifest.json`: per table its columns, and per day what the file was made of."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from postcall.durable_files import sync_directory, sync_file

MANIFEST_FILE: Final = "_manifest.json"


class Part(BaseModel):
    """A file: its rows, the hash of what they say, and its size."""

    model_config = ConfigDict(frozen=True)

    rows: int
    digest: str
    bytes: int


class ExportedTable(BaseModel):
    """A table's columns with their types, and its files by the name of their folder (empty = the table's own)."""

    columns: list[tuple[str, str]]
    parts: dict[str, Part] = Field(default_factory=dict)


class Manifest(BaseModel):
    """All that an export has. `engine` counts, since digests of another release need not be the same."""

    engine: str
    reporting_timezone: str
    exported_at: str
    tables: dict[str, ExportedTable] = Field(default_factory=dict)


def read_manifest(directory: Path) -> Manifest | None:
    """The manifest of the last export that was finished; None where there is none that can be used."""
    try:
        return Manifest.model_validate_json((directory / MANIFEST_FILE).read_bytes())
    except (FileNotFoundError, ValidationError):
        return None


def write_manifest(directory: Path, manifest: Manifest, *, draft: Path) -> None:
    """Put the manifest in place, durably: all that it names is there already."""
    with draft.open("w", encoding="utf-8") as file:
        file.write(manifest.model_dump_json(indent=1) + "\n")
        file.flush()
        sync_file(file.fileno())
    draft.replace(directory / MANIFEST_FILE)
    sync_directory(directory)
