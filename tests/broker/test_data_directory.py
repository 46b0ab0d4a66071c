"""One log per data directory."""

from __future__ import annotations

from pathlib import Path

from tests.broker.log_process import running_log, start_refused


def test_second_log_says_who_holds_the_directory_and_stops(tmp_path: Path) -> None:
    with running_log(tmp_path) as log:
        status, said = start_refused(tmp_path)
        assert status != 0
        assert f"Process {log.pid} has the log in {tmp_path / 'log'} open" in said


def test_directory_is_free_again_after_kill_9(tmp_path: Path) -> None:
    with running_log(tmp_path) as log:
        log.kill()
    with running_log(tmp_path) as log:
        assert log.stop() == 0


def test_missing_directories_are_made(tmp_path: Path) -> None:
    with running_log(tmp_path / "a" / "b") as log:
        assert log.stop() == 0
    assert (tmp_path / "a" / "b" / "log" / "log.sqlite3").is_file()


def test_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a directory")
    status, said = start_refused(tmp_path / "file")
    assert status != 0
    assert str(tmp_path / "file" / "log") in said
