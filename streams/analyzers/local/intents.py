"""Why the caller called: keywords by category, in what the caller says first."""

from __future__ import annotations

from collections import defaultdict
from typing import Final

from streams.analyzers.base import Transcript
from streams.analyzers.local.feelings import weigh_turn
from streams.analyzers.local.rules import Rules
from streams.analyzers.summary import Intent

#: What the caller's first, second, … turn weighs; later turns are about details.
_TURN_FACTORS: Final = (1.0, 0.7, 0.35)
#: How much blame for anything makes a call a complaint.
_BLAME_FACTOR: Final = 0.5
_LEAST_BLAME: Final = 2.0


def find_intent(transcript: Transcript, rules: Rules) -> Intent:
    """The category with the greatest weight; of two alike, the one that the table names first."""
    turns = [turn.text for turn in transcript.turns if turn.role != "assistant" and turn.text.strip()]
    scores: defaultdict[Intent, float] = defaultdict(float)
    for text, factor in zip(turns, _TURN_FACTORS, strict=False):
        for intent, entries in rules.intents.items():
            # Saying a word twice does not mean it twice.
            scores[intent] += factor * sum(entry.weight for entry in entries if entry.pattern.search(text))
        _, blame = weigh_turn(text, rules)
        scores["complaint"] += factor * _BLAME_FACTOR * (blame if blame >= _LEAST_BLAME else 0)
    best = max(scores, key=lambda intent: scores[intent], default=None)
    return best if best is not None and scores[best] > 0 else "other"
