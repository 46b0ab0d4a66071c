"""Cutting what was said into sentences, and a sentence into what fits a line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from streams.analyzers.local.rules import Rules

_END: Final = re.compile(r"(?<=[.!?…])[\"”'’)]*\s+(?=\S)")
_LAST_WORD: Final = re.compile(r"(\S+)\.$")


def split_sentences(text: str, rules: Rules) -> Iterator[str]:
    """The sentences of a turn, with single blanks; `Dr.` and the like end none."""
    folded = " ".join(text.split())
    start = 0
    for end in _END.finditer(folded):
        sentence = folded[start : end.start()]
        last_word = _LAST_WORD.search(sentence)
        if last_word and last_word[1].casefold() in rules.abbreviations:
            continue
        yield folded[start : end.end()].strip()
        start = end.end()
    if folded[start:]:
        yield folded[start:]


def shorten(text: str, limit: int) -> str:
    """At most so many characters, cut between words."""
    if len(text) <= limit:
        return text
    return text[: limit - 1].rsplit(" ", 1)[0].rstrip(",;:–-") + "…"
