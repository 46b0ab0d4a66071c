"""Reading WAV headers: every coding that vendors use, what streaming writers leave, and any bytes at all."""

from __future__ import annotations

import io
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.recordings.wav import NotWav, WavHeader, read_wav_header

UNKNOWN = 0xFFFFFFFF
EXTENSIBLE_PCM = struct.pack("<HHI", 22, 16, 0) + bytes.fromhex("0100000000001000800000aa00389b71")


def chunk(name: bytes, content: bytes, *, size: int | None = None) -> bytes:
    length = len(content) if size is None else size
    return name + struct.pack("<I", length) + content + b"\0" * (len(content) % 2)


def sound_format(*, tag: int = 1, channels: int = 1, rate: int = 8000, bits: int = 16, tail: bytes = b"") -> bytes:
    frame = channels * bits // 8
    return chunk(b"fmt ", struct.pack("<HHIIHH", tag, channels, rate, rate * frame, frame, bits) + tail)


def wav(*chunks: bytes, riff: bytes = b"RIFF", size: int | None = None) -> bytes:
    return chunk(riff, b"WAVE" + b"".join(chunks), size=size)


def header_of(content: bytes) -> WavHeader:
    return read_wav_header(io.BytesIO(content))


@pytest.mark.parametrize(
    ("layout", "length", "codec", "duration_ms"),
    [
        pytest.param({"tag": 1, "bits": 16}, 16000, "pcm_s16le", 1000, id="16-bit PCM"),
        pytest.param({"tag": 1, "bits": 8}, 8000, "pcm_u8", 1000, id="8-bit PCM"),
        pytest.param(
            {"tag": 1, "bits": 24, "channels": 2, "rate": 48000}, 288000, "pcm_s24le", 1000, id="24-bit stereo"
        ),
        pytest.param({"tag": 3, "bits": 32}, 32000, "pcm_f32le", 1000, id="float"),
        pytest.param({"tag": 7, "bits": 8}, 4000, "pcm_mulaw", 500, id="mu-law"),
        pytest.param({"tag": 6, "bits": 8, "channels": 2}, 16000, "pcm_alaw", 1000, id="A-law stereo"),
        pytest.param({"tag": 0xFFFE, "bits": 16, "tail": EXTENSIBLE_PCM}, 16000, "pcm_s16le", 1000, id="extensible"),
        pytest.param({"tag": 0x55, "bits": 8}, 8000, "wav_0x0055", 1000, id="MP3 in WAV, by its bytes per second"),
    ],
)
def test_codec_and_duration(layout: dict[str, int], length: int, codec: str, duration_ms: int) -> None:
    header = header_of(wav(sound_format(**layout), chunk(b"data", bytes(length))))  # type: ignore[arg-type] # by name
    assert (header.codec, header.duration_ms, header.is_truncated) == (codec, duration_ms, False)
    assert header.channels == layout.get("channels", 1)
    assert header.sample_rate == layout.get("rate", 8000)


@pytest.mark.parametrize("size", [0, UNKNOWN])
def test_streamed_sizes_give_way_to_the_length_of_the_file(size: int) -> None:
    header = header_of(wav(sound_format(), chunk(b"data", bytes(16000), size=size), size=size))
    assert (header.duration_ms, header.is_truncated) == (1000, False)


def test_rf64_takes_the_length_of_the_file() -> None:
    sizes = chunk(b"ds64", bytes(28))
    content = wav(sizes, sound_format(), chunk(b"data", bytes(16000), size=UNKNOWN), riff=b"RF64", size=UNKNOWN)
    assert header_of(content).duration_ms == 1000


def test_other_chunks_are_stepped_over_with_their_padding() -> None:
    header = header_of(
        wav(chunk(b"LIST", b"odd"), sound_format(), chunk(b"fact", bytes(4)), chunk(b"data", bytes(1600)))
    )
    assert header.duration_ms == 100


def test_sound_cut_off_is_measured_as_it_is_and_said_to_be_truncated() -> None:
    header = header_of(wav(sound_format(), chunk(b"data", bytes(16000)))[:-8000])
    assert (header.duration_ms, header.is_truncated) == (500, True)


def test_an_honest_header_of_no_sound_is_a_silent_recording() -> None:
    header = header_of(wav(sound_format(), chunk(b"data", b"")))
    assert (header.duration_ms, header.is_truncated) == (0, False)


def test_a_streamed_header_with_nothing_after_it_is_truncated() -> None:
    assert header_of(wav(sound_format(), chunk(b"data", b"", size=UNKNOWN), size=UNKNOWN)).is_truncated


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b'{"error": "not ready"}', id="JSON"),
        pytest.param(b"RIFF\0\0\0\0AVI LIST", id="another RIFF"),
        pytest.param(wav(sound_format()), id="no data"),
        pytest.param(wav(chunk(b"data", bytes(100))), id="no fmt"),
        pytest.param(wav(chunk(b"fmt ", bytes(8)), chunk(b"data", bytes(100))), id="short fmt"),
        pytest.param(wav(sound_format(rate=0), chunk(b"data", bytes(100))), id="no sample rate"),
        pytest.param(wav(sound_format(channels=0), chunk(b"data", bytes(100))), id="no channels"),
        pytest.param(wav(*[chunk(b"junk", b"")] * 100_000, sound_format(), chunk(b"data", b"")), id="endless chunks"),
    ],
)
def test_what_cannot_be_played_is_refused(content: bytes) -> None:
    with pytest.raises(NotWav):
        header_of(content)


SIZES = st.one_of(st.sampled_from([0, 1, UNKNOWN]), st.integers(0, UNKNOWN))
CHUNKS = st.builds(
    chunk,
    st.sampled_from([b"fmt ", b"data", b"fact", b"ds64", b"\0\0\0\0"]),
    st.binary(max_size=60),
    size=st.none() | SIZES,
)


@given(st.binary(max_size=200) | st.builds(lambda parts, size: wav(*parts, size=size), st.lists(CHUNKS), SIZES))
def test_any_bytes_are_a_header_or_refused(content: bytes) -> None:
    try:
        header = header_of(content)
    except NotWav:
        return
    assert header.channels > 0
    assert header.sample_rate > 0
    assert header.duration_ms is None or 0 <= header.duration_ms <= len(content) * 1000
