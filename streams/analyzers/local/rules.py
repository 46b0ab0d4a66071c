"""The rule tables: one TOML file per language, read once."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Final, get_args

from streams.analyzers.summary import Intent

LANGUAGES: Final = ("en", "de", "es")


@dataclass(frozen=True, kw_only=True, slots=True)
class WeightedPattern:
    """A pattern that counts for or against something."""

    pattern: re.Pattern[str]
    weight: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Rules:
    """What the analyzer knows of one language. Patterns ignore case unless they look for names."""

    language: str
    stop_words: frozenset[str]
    abbreviations: frozenset[str]
    negations: re.Pattern[str]
    feelings: tuple[WeightedPattern, ...]
    intents: dict[Intent, tuple[WeightedPattern, ...]]
    #: Find `(?P<name>…)` in a caller's sentence.
    name_statements: tuple[re.Pattern[str], ...]
    name_question: re.Pattern[str]
    #: What may stand before the name in the answer to that question.
    name_preamble: re.Pattern[str]
    not_names: frozenset[str]
    promises: tuple[re.Pattern[str], ...]
    not_promises: re.Pattern[str]
    pleasantries: re.Pattern[str]
    phrases: dict[str, str]


@cache
def load_rules(language: str) -> Rules:
    """The table of a language."""
    text = resources.files("streams.analyzers.local").joinpath("tables", f"{language}.toml").read_text("utf-8")
    table = tomllib.loads(text)
    names = table["names"]
    return Rules(
        language=language,
        stop_words=frozenset(table["stop_words"].split()),
        abbreviations=frozenset(table["abbreviations"].split()),
        negations=_compile(table["feelings"]["negations"]),
        feelings=_weighted(table["feelings"]["weights"]),
        intents={intent: _weighted(table["intents"][intent]) for intent in _in_order(table["intents"])},
        name_statements=tuple(re.compile(pattern) for pattern in names["statements"]),
        name_question=_compile(names["question"]),
        name_preamble=_compile(names["preamble"]),
        not_names=frozenset(names["not_names"].split()),
        promises=tuple(_compile(pattern) for pattern in table["promises"]["patterns"]),
        not_promises=_compile(table["promises"]["not"]),
        pleasantries=_compile(table["pleasantries"]),
        phrases=table["phrases"],
    )


def _in_order(intents: Iterable[str]) -> Iterator[Intent]:
    """The categories as the table orders them: of two that weigh the same, the earlier wins."""
    known: dict[str, Intent] = {intent: intent for intent in get_args(Intent)}
    for name in intents:
        yield known[name]


def _weighted(weights: dict[str, Any]) -> tuple[WeightedPattern, ...]:
    """One pattern per weight: the alternatives are tried in the order in which they stand."""
    return tuple(
        WeightedPattern(pattern=_compile(rf"(?<!\w)(?:{'|'.join(patterns)})(?!\w)"), weight=float(weight))
        for weight, patterns in weights.items()
    )


def _compile(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)
