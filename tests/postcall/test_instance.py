"""The data directory of a pipeline: whose it is, and for whose eyes."""

from __future__ import annotations

import stat
from pathlib import Path

from postcall.instance import hold_directory


def test_a_new_data_directory_is_for_its_owner_only(tmp_path: Path) -> None:
    with hold_directory(tmp_path / "data"):
        assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700
