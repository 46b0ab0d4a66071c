"""What will happen after the call: the agent's sentences that promise something."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from streams.analyzers.base import Transcript
from streams.analyzers.local.rules import Rules
from streams.analyzers.local.sentences import shorten, split_sentences

_MAX_PROMISES: Final = 10
_MAX_LENGTH: Final = 300


def find_promises(transcript: Transcript, rules: Rules) -> list[str]:
    """The promises, each once, word for word."""
    return list(dict.fromkeys(_promises(transcript, rules)))[:_MAX_PROMISES]


def _promises(transcript: Transcript, rules: Rules) -> Iterator[str]:
    for turn in transcript.turns:
        if turn.role == "assistant":
            for sentence in split_sentences(turn.text, rules):
                if _is_promise(sentence, rules):
                    yield shorten(sentence, _MAX_LENGTH)


def _is_promise(sentence: str, rules: Rules) -> bool:
    if sentence.endswith("?") or rules.not_promises.search(sentence):
        return False
    return any(pattern.search(sentence) for pattern in rules.promises)
