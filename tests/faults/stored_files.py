"""The recordings in a data directory, held against the vendor's: a file under its name is whole."""

from __future__ import annotations

from pathlib import Path

from postcall.simulator.recordings import render_recording
from postcall.simulator.vendor import Vendor


def hold_whole(data_dir: Path, vendor: Vendor) -> set[str]:
    """Hold that every file is whole, and that no session has two; returns the sessions that have one."""
    sessions = {session.session_id: session for session in vendor.schedule.sessions}
    found: set[str] = set()
    for file in (data_dir / "recordings").glob("??/*"):
        (session_id,) = (each for each in sessions if file.name.endswith(f"-{each}.wav"))
        assert file.read_bytes() == render_recording(sessions[session_id]), f"half a file: {file.name}"
        assert session_id not in found, "two files of one recording"
        found.add(session_id)
    return found


def parts(data_dir: Path) -> list[Path]:
    """What is being written, or was when its process died."""
    return list((data_dir / "recordings" / "parts").iterdir())
