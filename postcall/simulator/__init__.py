"""A simulated vendor: calls that read like calls, signed, posted and recorded, the same bytes for the same seed.

It is a witness, so it shares no code with what it tests: its payloads, its signatures and its recordings are its own.
Read `calls.py` first, then `sessions.py`, `schedule.py` and `vendor.py`; the dialogues are in `scripts/`.
"""
