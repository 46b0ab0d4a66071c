"""Recordings: WAV bytes that any player opens, a soft tone for each turn, higher for the caller.

To stay small they run ten times as fast as the call: a turn that took five seconds to say hums for half a second. Most
are 16-bit PCM, some G.711 mu-law as telephone exchanges store it; always mono, 8 kHz.
"""

from __future__ import annotations

import math
import struct
from functools import cache

from postcall.simulator.decks import chance
from postcall.simulator.sessions import Session, spoken_ms

SAMPLE_RATE_HZ = 8000

_LONGEST_MS = 10_000
_PAUSE_MS = 100
_CALLER_TONES_HZ = (200, 220, 250, 280, 320)
_ASSISTANT_TONE_HZ = 160
_LOUDNESS = 2600
_PCM = 1
_MU_LAW = 7


def recording_duration_s(session: Session) -> float:
    """How long the recording of this session plays: as long as its WAV says, a multiple of half a second."""
    sounded_ms = sum(_tone_ms(turn.role, turn.text) + _PAUSE_MS for turn in session.call.turns)
    return math.ceil(min(sounded_ms, _LONGEST_MS) / 500) / 2


def render_recording(session: Session) -> bytes:
    """The WAV file of this session, the same bytes each time."""
    is_mu_law = chance(0, "codec", session.session_id).random() < 0.25
    caller_tone_hz = chance(0, "voice", session.session_id).choice(_CALLER_TONES_HZ)
    sound = bytearray()
    for turn in session.call.turns:
        tone_hz = caller_tone_hz if turn.role == "user" else _ASSISTANT_TONE_HZ
        sound += _tone(tone_hz)[: 2 * _frames(_tone_ms(turn.role, turn.text))]
        sound += bytes(2 * _frames(_PAUSE_MS))
    wanted = 2 * _frames(round(recording_duration_s(session) * 1000))
    pcm = bytes(sound[:wanted]).ljust(wanted, b"\0")
    return _mu_law_file(pcm) if is_mu_law else _pcm_file(pcm)


def _tone_ms(role: str, text: str) -> int:
    """A tenth of what the turn took to say, in whole periods of every tone above, so that it ends without a click."""
    return max(1, min(round(spoken_ms(role, text) / 1000), 20)) * 100


def _frames(duration_ms: int) -> int:
    return duration_ms * SAMPLE_RATE_HZ // 1000


@cache
def _tone(frequency_hz: int) -> bytes:
    """Two seconds of it, 16-bit little-endian."""
    wave = (math.sin(math.tau * frequency_hz * frame / SAMPLE_RATE_HZ) for frame in range(2 * SAMPLE_RATE_HZ))
    return struct.pack(f"<{2 * SAMPLE_RATE_HZ}h", *(round(_LOUDNESS * height) for height in wave))


def _pcm_file(pcm: bytes) -> bytes:
    layout = struct.pack("<HHIIHH", _PCM, 1, SAMPLE_RATE_HZ, 2 * SAMPLE_RATE_HZ, 2, 16)
    return _wav(_chunk(b"fmt ", layout) + _chunk(b"data", pcm))


def _mu_law_file(pcm: bytes) -> bytes:
    samples = struct.unpack(f"<{len(pcm) // 2}h", pcm)
    layout = struct.pack("<HHIIHHH", _MU_LAW, 1, SAMPLE_RATE_HZ, SAMPLE_RATE_HZ, 1, 8, 0)
    count = _chunk(b"fact", struct.pack("<I", len(samples)))
    return _wav(_chunk(b"fmt ", layout) + count + _chunk(b"data", bytes(map(_mu_law, samples))))


def _wav(chunks: bytes) -> bytes:
    return _chunk(b"RIFF", b"WAVE" + chunks)


def _chunk(name: bytes, content: bytes) -> bytes:
    padding = b"\0" * (len(content) % 2)
    return name + struct.pack("<I", len(content)) + content + padding


@cache
def _mu_law(sample: int) -> int:
    """G.711: sign, three bits for the power of two, four below it, all inverted."""
    sign = 0x80 if sample < 0 else 0
    magnitude = min(abs(sample), 32635) + 132
    exponent = magnitude.bit_length() - 8
    mantissa = (magnitude >> (exponent + 3)) & 0x0F
    return ~(sign | exponent << 4 | mantissa) & 0xFF
