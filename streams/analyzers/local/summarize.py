"""The summary by rules: two sentences around what caller and agent said themselves, in the language of the call."""

from __future__ import annotations

import re
from typing import Final

from streams.analyzers.base import Transcript
from streams.analyzers.local.feelings import judge_sentiment
from streams.analyzers.local.intents import find_intent
from streams.analyzers.local.names import find_first_name
from streams.analyzers.local.promises import find_promises
from streams.analyzers.local.rules import Rules
from streams.analyzers.local.sentences import shorten, split_sentences
from streams.analyzers.summary import Summary

_QUOTE_LIMIT: Final = 180
_SEARCHED_TURNS: Final = 4
_WORD: Final = re.compile(r"\w+")


def summarize(transcript: Transcript, rules: Rules) -> Summary:
    """All fields of the analyzer `summary`."""
    intent = find_intent(transcript, rules)
    name = find_first_name(transcript, rules)
    promises = find_promises(transcript, rules)
    sentiment = judge_sentiment(transcript, rules)
    who = name or rules.phrases["caller"]
    what = rules.phrases[intent].format(who=who)
    quote = _find_request(transcript, rules)
    first = rules.phrases["quoted"].format(what=what, quote=_without_end(quote)) if quote else f"{what}."
    ending = (
        rules.phrases["promised"].format(promise=_without_end(promises[0])) if promises else rules.phrases[sentiment]
    )
    return Summary(
        summary=f"{first} {ending}",
        intent=intent,
        follow_ups=promises,
        customer_name=name,
        sentiment=sentiment,
    )


def _find_request(transcript: Transcript, rules: Rules) -> str | None:
    """The first thing that the caller says beyond greetings; of the earliest turns, the richest if all are poor."""
    turns = [turn.text for turn in transcript.turns if turn.role != "assistant"][:_SEARCHED_TURNS]
    sentences = [sentence for text in turns for sentence in split_sentences(text, rules)]
    for sentence in sentences:
        if _count_telling_words(sentence, rules) >= 3:
            return shorten(sentence, _QUOTE_LIMIT)
    richest = max(sentences, key=lambda sentence: _count_telling_words(sentence, rules), default=None)
    return shorten(richest, _QUOTE_LIMIT) if richest else None


def _count_telling_words(sentence: str, rules: Rules) -> int:
    words = {word.casefold() for word in _WORD.findall(rules.pleasantries.sub(" ", sentence))}
    return len(words - rules.stop_words)


def _without_end(sentence: str) -> str:
    return sentence.rstrip(" .")
