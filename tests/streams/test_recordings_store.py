"""The recording store: harmless names, whole files, and no debris."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from hypothesis import given
from hypothesis import strategies as st

from postcall.requests import DownloadRecording
from streams.recordings.store import RecordingStore, recording_uri


def request_for(session_id: str, url: str = "https://api.vendor.example/recording") -> DownloadRecording:
    return DownloadRecording(session_id=session_id, vendor="layercode", url=url)


def files_under(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


@given(st.text() | st.sampled_from(["../../etc/passwd", "a/../b", "%2e%2e/x", "con", "nul.", "a\0b", "x" * 5000, "."]))
def test_no_id_leads_out_of_the_folder(session_id: str) -> None:
    uri = PurePosixPath(recording_uri(request_for(session_id.encode("utf-8", "replace").decode())))
    assert uri.parts[0] == "recordings"
    assert len(uri.parts) == 3
    assert not {".", "..", "/"} & set(uri.parts)
    assert uri.name.isascii()
    assert len(uri.name) < 150


def test_sessions_that_differ_in_case_alone_do_not_share_a_file() -> None:
    assert recording_uri(request_for("abc")).lower() != recording_uri(request_for("ABC")).lower()


def test_a_harmless_session_id_is_there_to_be_seen() -> None:
    assert recording_uri(request_for("k3v9q0")).endswith("-k3v9q0.wav")


async def test_nothing_is_left_of_a_part_that_was_not_kept(tmp_path: Path) -> None:
    store = RecordingStore(tmp_path)
    store.open()
    async with store.begin() as part:
        part.write(b"half of it")
        assert len(files_under(tmp_path)) == 1
    assert files_under(tmp_path) == []


async def test_opening_removes_orphans_and_spares_what_is_being_written(tmp_path: Path) -> None:
    store = RecordingStore(tmp_path)
    store.open()
    orphan = tmp_path / "recordings" / "parts" / "orphan.part"
    orphan.write_bytes(b"left by a crash")
    async with store.begin() as part:
        part.write(b"whole")
        RecordingStore(tmp_path).open()
        assert not orphan.exists()
        store.keep(part, "recordings/ab/abc.wav")
    assert store.path("recordings/ab/abc.wav").read_bytes() == b"whole"
    assert files_under(tmp_path) == [store.path("recordings/ab/abc.wav")]
