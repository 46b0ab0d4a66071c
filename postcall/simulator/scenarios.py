"""Reads `scripts/`: one text file per trade, made to be written by people.

A file opens with its trade, its businesses and the words that only it uses, as `name: one | another`. `== Title` opens
a scenario, which may have such lines too (`intent:` always, `moods:` where not every mood makes sense, `language:` if
it is not English, `after: cut-off` if it goes on with a call that was). Then:

    A: …                 the assistant says this; `C: …` the caller
    C frustrated: …      only in that mood; `named`, `promised`, and `!` before any of them, work alike
    {street}             a word fixed for the call; [one|another] is chosen on the spot
    <I'll ring you.>     the assistant promises to do something after the call
    ~                    after the assistant spoke, the call may wander into `asides.txt`, from caller to assistant
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Literal, TypeVar, get_args

from postcall.simulator.errors import BrokenScript

Role = Literal["assistant", "user"]
Speaker = Literal["assistant", "user", "aside"]
Sentiment = Literal["happy", "neutral", "frustrated"]
Intent = Literal[
    "booking", "change", "cancellation", "complaint", "fault", "question", "order", "payment", "other"
]  # fmt: skip

_LINE = re.compile(r"(?P<speaker>[AC])(?P<conditions>(?: !?\w+)*): (?P<text>.+)")
_WORD = re.compile(r"(?P<name>[a-z_]+): (?P<choices>.+)")
_MOODS: dict[str, Sentiment] = {mood: mood for mood in get_args(Sentiment)}
_INTENTS: dict[str, Intent] = {intent: intent for intent in get_args(Intent)}
_CONDITIONS = {*_MOODS, "named", "promised"}
_HEADER = {"trade": "any", "language": "en", "intent": "other", "moods": "happy neutral frustrated", "after": ""}

Value = TypeVar("Value")


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line of a dialogue, said only where all its conditions hold; an aside has no text of its own."""

    speaker: Speaker
    conditions: frozenset[str] = frozenset()
    text: str = ""

    def fits(self, facts: frozenset[str]) -> bool:
        """Whether this line belongs to a call of which `facts` are true."""
        return all((name.lstrip("!") in facts) != name.startswith("!") for name in self.conditions)


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """One way that a call can go."""

    trade: str
    title: str
    language: str
    intent: Intent
    moods: tuple[Sentiment, ...]
    words: Mapping[str, tuple[str, ...]]
    lines: tuple[Line, ...]
    is_after_cut_off: bool


@cache
def all_scenarios() -> tuple[Scenario, ...]:
    """Every scenario in the scripts folder except the asides, in the order of file names.

    :raises BrokenScript: naming the file and the line.
    """
    folder = resources.files("postcall.simulator") / "scripts"
    files = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".txt"))
    return tuple(scenario for name in files if name != "asides.txt" for scenario in _read(name))


@cache
def all_asides() -> tuple[Scenario, ...]:
    """The small exchanges that an English call may wander into."""
    return tuple(_read("asides.txt"))


def _read(name: str) -> list[Scenario]:
    return parse_script((resources.files("postcall.simulator") / "scripts" / name).read_text(encoding="utf-8"), name)


def parse_script(text: str, name: str) -> list[Scenario]:
    """The scenarios of one file.

    :raises BrokenScript: naming the file and the line.
    """
    head, *bodies = re.split(r"^== ", text, flags=re.MULTILINE)
    try:
        words, _ = _read_lines(head.splitlines())
        return [_scenario(words, body) for body in bodies]
    except ValueError as error:
        raise BrokenScript(f"scripts/{name}: {error}") from error


def _scenario(trade_words: Mapping[str, tuple[str, ...]], body: str) -> Scenario:
    title, *rest = body.splitlines()
    own_words, lines = _read_lines(rest)
    words = {**trade_words, **own_words}
    header = {name: words.pop(name, (default,))[0] for name, default in _HEADER.items()}
    return Scenario(
        trade=header["trade"],
        title=title,
        language=header["language"],
        intent=_known(header["intent"], _INTENTS),
        moods=tuple(_known(mood, _MOODS) for mood in header["moods"].split()),
        words=words,
        lines=tuple(lines),
        is_after_cut_off=header["after"] == "cut-off",
    )


def _read_lines(lines: Iterable[str]) -> tuple[dict[str, tuple[str, ...]], list[Line]]:
    words: dict[str, tuple[str, ...]] = {}
    spoken: list[Line] = []
    for line in lines:
        if found := _LINE.fullmatch(line):
            spoken.append(_spoken(found))
        elif found := _WORD.fullmatch(line):
            words[found["name"]] = tuple(found["choices"].split(" | "))
        elif line and line != "~" and not line.startswith("#"):
            raise ValueError(f"cannot read {line!r}")
        if line.endswith("~"):
            spoken.append(_aside_after(spoken))
    return words, spoken


def _spoken(found: re.Match[str]) -> Line:
    conditions = frozenset(found["conditions"].split())
    if unknown := {name.lstrip("!") for name in conditions} - _CONDITIONS:
        raise ValueError(f"unknown condition {unknown} in {found.group()!r}")
    speaker: Speaker = "assistant" if found["speaker"] == "A" else "user"
    return Line(speaker=speaker, conditions=conditions, text=found["text"].removesuffix(" ~"))


def _aside_after(spoken: Sequence[Line]) -> Line:
    if not spoken or spoken[-1].speaker != "assistant":
        raise ValueError(f"~ after {spoken[-1:]}, where the assistant did not speak")
    return Line(speaker="aside")


def _known(value: str, known: Mapping[str, Value]) -> Value:
    if value not in known:
        raise ValueError(f"{value!r} is none of {', '.join(known)}")
    return known[value]
