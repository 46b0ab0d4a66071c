"""Reading a WAV file's header: how long it plays, how fast it was sampled, how it is coded.

Covers PCM, float, A-law and mu-law, WAVE_FORMAT_EXTENSIBLE and other codecs by number, RF64 as far as it is like RIFF,
and what streaming writers leave behind: sizes of 0 or 0xFFFFFFFF, where the file's own length is the truth. The sound
itself is not looked at.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from typing import BinaryIO, Final

from postcall.errors import PostcallError

_UNKNOWN_SIZE: Final = 0xFFFFFFFF
#: Hostile files could hold millions of empty chunks.
_MAX_CHUNKS: Final = 1000
_EXTENSIBLE: Final = 0xFFFE
_PCM, _FLOAT, _ALAW, _MULAW = 1, 3, 6, 7
_COMPANDED: Final = {_ALAW: "pcm_alaw", _MULAW: "pcm_mulaw"}


class NotWav(PostcallError):
    """The bytes are no WAV file that can be played."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WavHeader:
    """What a header says; codecs are named as ffmpeg names them."""

    sample_rate: int
    channels: int
    codec: str
    #: None where the codec's bytes per second are not known.
    duration_ms: int | None
    #: The header promises more sound than the file has.
    is_truncated: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class _Chunk:
    name: bytes
    start: int
    size: int
    end: int
    is_truncated: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class _Format:
    tag: int
    channels: int
    sample_rate: int
    bytes_per_second: int
    bits: int

    @property
    def codec(self) -> str:
        if self.tag == _PCM:
            return "pcm_u8" if self.bits == 8 else f"pcm_s{self.bits}le"
        if self.tag == _FLOAT:
            return f"pcm_f{self.bits}le"
        return _COMPANDED.get(self.tag, f"wav_0x{self.tag:04x}")

    @property
    def byte_rate(self) -> int:
        """Computed where the codec allows it: writers get this field wrong."""
        if self.tag in {_PCM, _FLOAT}:
            return self.sample_rate * self.channels * ((self.bits + 7) // 8)
        if self.tag in _COMPANDED:
            return self.sample_rate * self.channels
        return self.bytes_per_second


def is_wav_start(head: bytes) -> bool:
    """Whether a file that begins with these (at least 12) bytes claims to be a WAV file."""
    return head[:4] in {b"RIFF", b"RF64"} and head[8:12] == b"WAVE"


def read_wav_header(file: BinaryIO) -> WavHeader:
    """Read a file's header, wherever the file is positioned.

    :raises NotWav: with what is wrong, for any other bytes, and for nothing else but a failing disk.
    """
    length = file.seek(0, os.SEEK_END)
    file.seek(0)
    head = file.read(12)
    if len(head) < 12 or not is_wav_start(head):
        raise NotWav("The file does not begin with RIFF and WAVE.")
    declared_length = int.from_bytes(head[4:8], "little") + 8
    sound_format, sound = _find_format_and_sound(file, length, is_exact=declared_length == length)
    byte_rate = sound_format.byte_rate
    return WavHeader(
        sample_rate=sound_format.sample_rate,
        channels=sound_format.channels,
        codec=sound_format.codec,
        duration_ms=sound.size * 1000 // byte_rate if byte_rate else None,
        is_truncated=sound.is_truncated,
    )


def _find_format_and_sound(file: BinaryIO, length: int, *, is_exact: bool) -> tuple[_Format, _Chunk]:
    found: _Format | None = None
    sound: _Chunk | None = None
    position = 12
    for _ in range(_MAX_CHUNKS):
        chunk = _read_chunk(file, position, length, is_exact=is_exact)
        if chunk is None:
            break
        if chunk.name == b"fmt " and found is None:
            file.seek(chunk.start)
            found = _read_format(file.read(min(chunk.size, 40)))
        elif chunk.name == b"data" and sound is None:
            sound = chunk
        if found and sound:
            return found, sound
        position = chunk.end
    raise NotWav(f"The file has no {'data' if found else 'fmt'} chunk.")


def _read_chunk(file: BinaryIO, position: int, length: int, *, is_exact: bool) -> _Chunk | None:
    file.seek(position)
    head = file.read(8)
    if len(head) < 8:
        return None
    name, declared = struct.unpack("<4sI", head)
    start = position + 8
    there = length - start
    is_streamed = name == b"data" and (declared == _UNKNOWN_SIZE or (declared == 0 and not is_exact))
    size = there if is_streamed else min(declared, there)
    return _Chunk(
        name=name,
        start=start,
        size=size,
        # Chunks are padded to an even length.
        end=start + size + size % 2,
        is_truncated=there == 0 if is_streamed else declared > there,
    )


def _read_format(content: bytes) -> _Format:
    if len(content) < 16:
        raise NotWav("The fmt chunk is too short.")
    tag, channels, sample_rate, bytes_per_second, _, bits = struct.unpack("<HHIIHH", content[:16])
    if tag == _EXTENSIBLE and len(content) >= 26:
        # The first two bytes of the sub-format's GUID are the tag that it stands for.
        tag = int.from_bytes(content[24:26], "little")
    if channels == 0 or sample_rate == 0:
        raise NotWav("The fmt chunk names no channels or no sample rate.")
    if tag in {_PCM, _FLOAT} and bits == 0:
        raise NotWav("The fmt chunk names no bits per sample.")
    return _Format(tag=tag, channels=channels, sample_rate=sample_rate, bytes_per_second=bytes_per_second, bits=bits)
