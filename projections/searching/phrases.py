"""Where a phrase stands in a text, whatever the case and the accents: for showing it, the engine finds by itself."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator


def find_phrase(text: str, phrase: str) -> Iterator[tuple[int, int]]:
    """The start and the end of each place."""
    folded = [(number, _fold(character)) for number, character in enumerate(text)]
    # Folding may make several characters of one, or none.
    origins = [number for number, characters in folded for _ in characters]
    haystack, needle = "".join(characters for _, characters in folded), _fold(phrase)
    start = haystack.find(needle) if needle else -1
    while start >= 0:
        yield origins[start], origins[start + len(needle) - 1] + 1
        start = haystack.find(needle, start + len(needle))


def _fold(text: str) -> str:
    decomposed = unicodedata.normalize("NFD", text)
    return "".join(each for each in decomposed if not unicodedata.combining(each)).lower()
