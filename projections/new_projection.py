"""`postcall new projection`: the safe form of a projection, to be changed."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import duckdb

from postcall.errors import UsageError
from projections.definitions import check_name


def write_projection(name: str, folder: Path) -> Path:
    """Write a file for a projection of this name; returns where.

    :raises UsageError: the name cannot be one, or the file is there.
    """
    try:
        check_name(name)
        duckdb.extract_statements(f"CREATE TABLE {name} (a INTEGER); FROM {name}")
    except ValueError as error:
        raise UsageError(str(error)) from None
    except duckdb.ParserException:
        raise UsageError(f"{name} is a word of SQL itself: choose another name.") from None
    template = (resources.files("projections") / "sql" / "templates" / "projection.sql").read_text("utf-8")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.sql"
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(template.replace("{name}", name))
    except FileExistsError:
        raise UsageError(f"{path} is there already. Change it, or choose another name.") from None
    return path
