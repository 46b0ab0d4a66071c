"""The calls of a make-believe high street, each with the truth about it.

`write_calls` composes them from the dialogues in `scripts/`: a scenario, a mood, whether the caller gives a name and
the assistant makes a promise, where the call wanders off, and all the words between. What was meant is kept beside what
was said, so that an analyzer can be judged. Ids, times and payloads are made elsewhere (`sessions.py`, `payloads.py`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import groupby
from random import Random

from postcall.simulator.accents import speak
from postcall.simulator.decks import chance, deal, deck
from postcall.simulator.scenarios import Intent, Line, Role, Scenario, Sentiment, all_asides, all_scenarios
from postcall.simulator.vocabulary import ENGLISH_ACCENTS, Accent, words_for

#: How many asides a call takes: most callers keep to their business, some have all day.
_ASIDES = deck((9, 0), (5, 1), (3, 2), (1, 4), (2, 9))
_CHOICE = re.compile(r"\[([^\[\]]*)\]")
_WORD = re.compile(r"\{(\w+)\}")
_PROMISE = re.compile(r"<([^<>]+)>")


@dataclass(frozen=True, kw_only=True)
class ScriptedTurn:
    """What one side says before the other speaks again."""

    role: Role
    text: str
    follow_ups: tuple[str, ...] = ()
    states_name: bool = False


@dataclass(frozen=True, kw_only=True)
class ScriptedCall:
    """A call as it was said, and what an attentive listener would have noted."""

    index: int
    trade: str
    business: str
    scenario: str
    intent: Intent
    sentiment: Sentiment
    language: str
    accent: Accent
    turns: tuple[ScriptedTurn, ...]
    words: Mapping[str, str]
    #: The index of the call that was cut off, of which this one is the continuation.
    continues: int | None = None

    @property
    def first_name(self) -> str | None:
        """The caller's first name, if the caller said it."""
        return self.words["first"] if any(turn.states_name for turn in self.turns) else None

    @property
    def follow_ups(self) -> tuple[str, ...]:
        """The promises that were made, word for word as they stand in the transcript."""
        return tuple(promise for turn in self.turns for promise in turn.follow_ups)


def write_calls(count: int, *, seed: int) -> tuple[ScriptedCall, ...]:
    """The first `count` calls of this seed; more calls later begin with the same ones, cut-offs aside."""
    calls: list[ScriptedCall] = []
    for index in range(count):
        cut_off = _call_to_continue(calls, seed) if _is_continuation(index, seed) else None
        if cut_off is None:
            calls.append(_write_call(index, seed))
        else:
            calls[cut_off.index] = replace(cut_off, turns=cut_off.turns[:-2])
            calls.append(_write_continuation(index, seed, cut_off))
    return tuple(calls)


def _is_continuation(index: int, seed: int) -> bool:
    """Two of every twenty, and late among them, so that there is a call to continue."""
    place = index % 20 - 10
    return place >= 0 and deal((True, True, *[False] * 8), index // 20 * 10 + place, seed, "continuations")


def _call_to_continue(calls: Sequence[ScriptedCall], seed: int) -> ScriptedCall | None:
    """A recent call that loses nothing of its truth when the line drops before the goodbyes."""
    taken = {call.index for call in calls if call.continues is not None} | {call.continues for call in calls}
    recent = [
        call for call in calls[-40:] if call.sentiment == "neutral" and len(call.turns) >= 8 and call.index not in taken
    ]
    return chance(seed, "cut-off", len(calls)).choice(recent) if recent else None


def _write_call(index: int, seed: int) -> ScriptedCall:
    random = chance(seed, "call", index)
    scenario = deal(_scenarios("call"), index, seed, "scenarios")
    accent = _accent(scenario.language, index, seed)
    words = {**words_for(scenario.language, accent, random)}
    for name, choices in {**_trade_words(scenario, random), **scenario.words}.items():
        words[name] = random.choice(choices)
    mood = random.choice(scenario.moods)
    return _compose(index, scenario, accent, words, mood, deal(_ASIDES, index, seed, "asides"), random)


def _write_continuation(index: int, seed: int, cut_off: ScriptedCall) -> ScriptedCall:
    random = chance(seed, "continuation", index)
    fitting = [scenario for scenario in _scenarios("cut-off") if scenario.language == cut_off.language]
    call = _compose(index, random.choice(fitting), cut_off.accent, cut_off.words, "neutral", 0, random)
    return replace(call, trade=cut_off.trade, continues=cut_off.index)


@cache
def _scenarios(kind: str) -> tuple[Scenario, ...]:
    return tuple(scenario for scenario in all_scenarios() if scenario.is_after_cut_off == (kind == "cut-off"))


def _accent(language: str, index: int, seed: int) -> Accent:
    if language == "en":
        return deal(ENGLISH_ACCENTS, index, seed, "accents")
    return "german" if language == "de" else "spanish"


def _trade_words(scenario: Scenario, random: Random) -> Mapping[str, tuple[str, ...]]:
    """A scenario of any trade borrows a business from one of them."""
    if scenario.trade != "any":
        return {}
    host = random.choice([other for other in _scenarios("call") if other.trade != "any" and other.language == "en"])
    return {"trade": (host.trade,), "business": host.words["business"]}


def _compose(
    index: int,
    scenario: Scenario,
    accent: Accent,
    words: Mapping[str, str],
    mood: Sentiment,
    aside_count: int,
    random: Random,
) -> ScriptedCall:
    facts = frozenset({str(mood), *(fact for fact in ("named", "promised") if random.random() < 0.6)})
    asides = _choose_asides(scenario, mood, aside_count, random)
    spoken: list[ScriptedTurn] = []
    for line in scenario.lines:
        if line.speaker != "aside":
            spoken += _say([line], facts, words, accent, random)
            continue
        for aside in asides.pop():
            own_words = {name: random.choice(choices) for name, choices in aside.words.items()}
            spoken += _say(aside.lines, facts, {**words, **own_words}, accent, random)
    return ScriptedCall(
        index=index,
        trade=words.get("trade", scenario.trade),
        business=words["business"],
        scenario=scenario.title,
        intent=scenario.intent,
        sentiment=mood,
        language=scenario.language,
        accent=accent,
        turns=tuple(_joined(spoken)),
        words=words,
    )


def _choose_asides(scenario: Scenario, mood: Sentiment, count: int, random: Random) -> list[list[Scenario]]:
    """The asides for each place where the call may wander."""
    places = sum(line.speaker == "aside" for line in scenario.lines)
    fitting = [aside for aside in all_asides() if mood in aside.moods and aside.language == scenario.language]
    chosen = random.sample(fitting, min(count, len(fitting)))
    return [chosen[place::places] for place in range(places)]


def _say(
    lines: Sequence[Line], facts: frozenset[str], words: Mapping[str, str], accent: Accent, random: Random
) -> Iterator[ScriptedTurn]:
    for line in lines:
        if not line.fits(facts):
            continue
        chosen = _choose(line.text, random)
        text = _fill(chosen, words)
        if line.speaker == "assistant":
            promises = tuple(_PROMISE.findall(text))
            yield ScriptedTurn(role="assistant", text=_PROMISE.sub(r"\1", text), follow_ups=promises)
        else:
            yield ScriptedTurn(role="user", text=speak(text, accent), states_name="{first}" in chosen)


def _choose(text: str, random: Random) -> str:
    """The line with one of each [these|those] taken."""
    return _CHOICE.sub(lambda match: random.choice(match[1].split("|")), text)


def _fill(text: str, words: Mapping[str, str]) -> str:
    """The line with its words filled in; a word may contain further words."""
    while _WORD.search(text):
        text = _WORD.sub(lambda match: words[match[1]], text)
    return re.sub(r"  +", " ", text[:1].upper() + text[1:])


def _joined(spoken: Sequence[ScriptedTurn]) -> Iterator[ScriptedTurn]:
    """Lines by the same side, one after the other, are one turn."""
    for role, group in groupby(spoken, key=lambda turn: turn.role):
        lines = list(group)
        yield ScriptedTurn(
            role=role,
            text=" ".join(line.text for line in lines),
            follow_ups=tuple(promise for line in lines for promise in line.follow_ups),
            states_name=any(line.states_name for line in lines),
        )
