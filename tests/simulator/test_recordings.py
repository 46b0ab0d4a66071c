"""Recordings are files that other people's programs can play."""

from __future__ import annotations

import io
import struct
import wave

import pytest

from postcall.simulator.recordings import _mu_law, recording_duration_s, render_recording
from postcall.simulator.schedule import plan_schedule
from postcall.simulator.sessions import Session


@pytest.fixture(scope="module")
def sessions() -> tuple[Session, ...]:
    return plan_schedule(50, seed=11).sessions


def codec_of(recording: bytes) -> int:
    (codec,) = struct.unpack_from("<H", recording, 20)
    return int(codec)


def test_pcm_recordings_open_and_last_as_long_as_announced(sessions: tuple[Session, ...]) -> None:
    opened = 0
    for session in sessions:
        recording = render_recording(session)
        if codec_of(recording) != 1:
            continue
        with wave.open(io.BytesIO(recording)) as file:
            assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 8000)
            assert file.getnframes() / 8000 == recording_duration_s(session)
            assert any(file.readframes(file.getnframes()))
        opened += 1
    assert 25 < opened < 50


def test_mu_law_recordings_say_so_in_a_valid_header(sessions: tuple[Session, ...]) -> None:
    recordings = {session.session_id: render_recording(session) for session in sessions}
    in_mu_law = [session for session in sessions if codec_of(recordings[session.session_id]) == 7]
    assert in_mu_law
    for session in in_mu_law:
        recording = recordings[session.session_id]
        riff, size, form = struct.unpack_from("<4sI4s", recording)
        assert (riff, size, form) == (b"RIFF", len(recording) - 8, b"WAVE")
        name, data_size = struct.unpack_from("<4sI", recording, 50)
        assert (name, data_size) == (b"data", recording_duration_s(session) * 8000)


@pytest.mark.parametrize(("sample", "byte"), [(0, 0xFF), (-1, 0x7F), (32767, 0x80), (-32768, 0x00), (1000, 0xCE)])
def test_mu_law_agrees_with_the_standard(sample: int, byte: int) -> None:
    assert _mu_law(sample) == byte


def test_fifty_recordings_stay_small_and_the_same(sessions: tuple[Session, ...]) -> None:
    once = [render_recording(session) for session in sessions]
    assert sum(map(len, once)) < 6_000_000
    assert once == [render_recording(session) for session in sessions]
