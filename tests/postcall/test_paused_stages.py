"""Pauses that `postcall status` tells."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from postcall.paused_stages import publish_pause, read_pauses
from tests.postcall.test_status import ask_status


def test_a_pause_is_told_until_it_ends(tmp_path: Path) -> None:
    assert read_pauses(tmp_path) == []
    publish_pause(tmp_path, "insights-0", "the model's API refuses the key (HTTP 401)")
    (paused,) = read_pauses(tmp_path)
    assert (paused.stage, paused.reason) == ("insights-0", "the model's API refuses the key (HTTP 401)")
    publish_pause(tmp_path, "insights-0", None)
    publish_pause(tmp_path, "insights-0", None)
    assert read_pauses(tmp_path) == []


def test_what_a_process_left_that_is_gone_is_not_told(tmp_path: Path) -> None:
    publish_pause(tmp_path, "insights-0", "gone")
    file = tmp_path / "paused" / "insights-0.json"
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    file.write_text(json.dumps(json.loads(file.read_bytes()) | {"pid": gone.pid}))
    assert read_pauses(tmp_path) == []


@pytest.mark.parametrize("left", [b"{}", b"\xff"])
def test_what_cannot_be_read_is_not_told(tmp_path: Path, left: bytes) -> None:
    (tmp_path / "paused").mkdir()
    (tmp_path / "paused" / "insights-0.json").write_bytes(left)
    assert read_pauses(tmp_path) == []


async def test_status_tells_it_to_people_and_programs(log_address: str, tmp_path: Path) -> None:
    publish_pause(tmp_path, "recordings-0", "api.example cannot be reached")
    _, out, _ = await ask_status(tmp_path, "--kafka", log_address)
    assert "api.example cannot be reached" in " ".join(out.split())
    _, out, _ = await ask_status(tmp_path, "--kafka", log_address, "--json")
    (paused,) = json.loads(out)["paused"]
    assert (paused["stage"], paused["reason"]) == ("recordings-0", "api.example cannot be reached")
