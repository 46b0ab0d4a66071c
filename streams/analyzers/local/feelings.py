"""How the caller felt: a lexicon of words and phrases with weights, over the caller's turns alone.

A negation up to three words before turns praise into a complaint and takes a complaint back. What is said late counts
more. Politeness weighs too little to make anybody happy, and describing a broken boiler makes nobody frustrated.
"""

from __future__ import annotations

from typing import Final

from streams.analyzers.base import Transcript
from streams.analyzers.local.rules import Rules
from streams.analyzers.local.sentences import split_sentences
from streams.analyzers.summary import Sentiment

_THRESHOLD: Final = 2.0
_LATE_FACTOR: Final = 1.3
_EXCLAMATION: Final = 0.5
_NEGATION_REACH: Final = 3


def judge_sentiment(transcript: Transcript, rules: Rules) -> Sentiment:
    """The caller's feeling: frustrated if that weighs as much as happy."""
    turns = [turn.text for turn in transcript.turns if turn.role != "assistant"]
    praise = blame = 0.0
    for number, text in enumerate(turns, start=1):
        factor = _LATE_FACTOR if number > len(turns) * 2 / 3 else 1.0
        good, bad = weigh_turn(text, rules)
        praise += factor * good
        blame += factor * bad
    if blame >= _THRESHOLD and blame >= praise:
        return "frustrated"
    return "happy" if praise >= _THRESHOLD and praise > blame else "neutral"


def weigh_turn(text: str, rules: Rules) -> tuple[float, float]:
    """Praise and blame in what was said at one go."""
    weighed = [_weigh(sentence, rules) for sentence in split_sentences(text, rules)]
    return sum(good for good, _ in weighed), sum(bad for _, bad in weighed)


def _weigh(sentence: str, rules: Rules) -> tuple[float, float]:
    """Praise and blame of one sentence."""
    good = bad = 0.0
    rest = sentence
    for entry in rules.feelings:
        for found in entry.pattern.finditer(rest):
            is_negated = _is_negated(sentence, found.start(), rules)
            if entry.weight > 0 and not is_negated:
                good += entry.weight
            elif entry.weight > 0:
                bad += entry.weight / 2
            elif not is_negated:
                bad -= entry.weight
        # What has counted once does not count again as a part of something lighter.
        rest = entry.pattern.sub(lambda match: "_" * len(match.group()), rest)
    if good and sentence.endswith("!"):
        good += _EXCLAMATION
    return good, bad


def _is_negated(sentence: str, position: int, rules: Rules) -> bool:
    clause = sentence[:position].replace(";", ",").rsplit(",", 1)[-1]
    before = " ".join(clause.split()[-_NEGATION_REACH:])
    return rules.negations.search(before) is not None
