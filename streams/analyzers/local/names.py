"""The caller's first name, where the caller states it.

Three ways count: a statement ("my name is …", "it's … here"), the answer to the agent's question for a name, and
"under the name of" with two names. A surname alone, a name after Mr or Mrs, and other people's names do not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from streams.analyzers.base import Transcript
from streams.analyzers.local.rules import Rules
from streams.analyzers.local.sentences import split_sentences

_NAME: Final = r"[^\W\d_](?:[^\W\d_]|['’-](?=[^\W\d_]))+"
_ANSWER: Final = re.compile(rf"(?P<name>{_NAME})(?P<rest>(?:\s+{_NAME}){{0,3}})(?=\s*(?:[,.;:!?–-]|$))")
#: "Bond. James Bond."
_SURNAME_FIRST: Final = re.compile(rf"\b(?P<surname>{_NAME})[,.]\s+(?P<name>{_NAME})\s+(?P=surname)\b")
_FOLLOWING: Final = re.compile(r"(?:\s+(?-i:[A-ZÀ-ÞŐŠŽ])[\w'’-]*)+")


def find_first_name(transcript: Transcript, rules: Rules) -> str | None:
    """The first name that the caller first gives."""
    is_asked = False
    for turn in transcript.turns:
        if turn.role == "assistant":
            is_asked = rules.name_question.search(turn.text) is not None
            continue
        for candidate in _candidates(turn.text, rules, is_asked=is_asked):
            if _is_name(candidate, rules):
                return candidate
        is_asked = False
    return None


def _candidates(text: str, rules: Rules, *, is_asked: bool) -> Iterator[str]:
    folded = " ".join(text.split())
    for surname_first in _SURNAME_FIRST.finditer(folded):
        yield surname_first["name"]
    for pattern in rules.name_statements:
        for found in pattern.finditer(folded):
            if _is_followed_by_names(folded, found.end("name"), rules):
                yield _capitalized(found["name"])
    for sentence in split_sentences(text, rules) if is_asked else ():
        yield from _answers(sentence, rules)


def _is_followed_by_names(text: str, end: int, rules: Rules) -> bool:
    """Whether the capitalized words that follow may be a surname: Avenue and Insurance are none."""
    following = _FOLLOWING.match(text, end)
    return following is None or all(_is_name(word, rules) for word in following.group().split())


def _answers(sentence: str, rules: Rules) -> Iterator[str]:
    """A name that stands where an answer begins."""
    preamble = rules.name_preamble.match(sentence)
    answer = _ANSWER.match(sentence, preamble.end() if preamble else 0)
    # All words of a name are capitalized; "Just Tuesday" has a word that is none.
    if answer and all(_is_name(word, rules) for word in answer["rest"].split()):
        yield answer["name"]


def _capitalized(name: str) -> str:
    return name[:1].upper() + name[1:]


def _is_name(word: str, rules: Rules) -> bool:
    folded = word.casefold()
    return word[:1].isupper() and folded not in rules.not_names and folded not in rules.stop_words
