"""The calls read like calls, and what is noted about them is true."""

from __future__ import annotations

import itertools
import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postcall.simulator.calls import ScriptedCall, _compose, write_calls
from postcall.simulator.decks import chance
from postcall.simulator.errors import BrokenScript
from postcall.simulator.scenarios import all_asides, all_scenarios, parse_script
from postcall.simulator.vocabulary import words_for

SEEDS = st.integers(min_value=0, max_value=10_000)


@given(seed=SEEDS)
def test_what_is_noted_stands_in_the_transcript(seed: int) -> None:
    for call in write_calls(10, seed=seed):
        callers_words = " ".join(turn.text for turn in call.turns if turn.role == "user")
        assert call.first_name is None or re.search(rf"\b{call.first_name}\b", callers_words)
        for follow_up in call.follow_ups:
            assert any(follow_up in turn.text for turn in call.turns if turn.role == "assistant")


@given(seed=SEEDS)
def test_nobody_gives_a_first_name_that_is_not_noted(seed: int) -> None:
    for call in write_calls(10, seed=seed):
        namesakes = [word for name, word in call.words.items() if name != "first" and call.words["first"] in word]
        if call.first_name is None and not namesakes:
            assert not any(re.search(rf"\b{call.words['first']}\b", turn.text) for turn in call.turns)


@given(seed=SEEDS)
def test_sides_take_turns_and_the_assistant_begins(seed: int) -> None:
    for call in write_calls(10, seed=seed):
        roles = [turn.role for turn in call.turns]
        assert roles[0] == "assistant"
        assert len(roles) >= 2
        assert all(one != other for one, other in itertools.pairwise(roles))


@pytest.mark.parametrize("seed", range(25))
def test_twenty_calls_hold_every_mood_and_a_continuation(seed: int) -> None:
    calls = write_calls(20, seed=seed)
    assert {call.sentiment for call in calls} == {"happy", "neutral", "frustrated"}
    assert any(call.first_name for call in calls)
    assert not all(call.first_name for call in calls)
    assert any(call.follow_ups for call in calls)
    assert not all(call.follow_ups for call in calls)
    assert sum(call.continues is not None for call in calls) == 2


@pytest.mark.parametrize("seed", range(5))
def test_a_hundred_calls_go_from_hang_up_to_long_talk(seed: int) -> None:
    calls = write_calls(100, seed=seed)
    lengths = [len(call.turns) for call in calls]
    assert min(lengths) == 2
    assert max(lengths) >= 25
    assert len({call.trade for call in calls}) >= 14
    assert {call.language for call in calls} == {"en", "de", "es"}
    assert len({call.accent for call in calls}) == 8


@pytest.mark.parametrize("seed", range(5))
def test_fifty_calls_hardly_repeat_themselves(seed: int) -> None:
    said = Counter(turn.text for call in write_calls(50, seed=seed) for turn in call.turns if len(turn.text) > 40)
    assert len(said) / said.total() > 0.9
    transcripts = {tuple(turn.text for turn in call.turns) for call in write_calls(50, seed=seed)}
    assert len(transcripts) == 50


def test_same_seed_same_calls_and_other_seed_other_calls() -> None:
    assert write_calls(40, seed=3) == write_calls(40, seed=3)
    assert write_calls(40, seed=3) != write_calls(40, seed=4)


def test_a_continuation_is_the_same_caller_at_the_same_business() -> None:
    calls = write_calls(60, seed=5)
    continued = [(call, calls[call.continues]) for call in calls if call.continues is not None]
    assert continued
    for later, earlier in continued:
        assert later.index > earlier.index
        assert (later.business, later.trade, later.accent) == (earlier.business, earlier.trade, earlier.accent)
        assert later.words["first"] == earlier.words["first"]


def _every_performance() -> list[ScriptedCall]:
    performances = []
    for scenario, number in itertools.product(all_scenarios(), range(30)):
        random = chance(number, scenario.trade, scenario.title)
        accent = {"en": "british", "de": "german", "es": "spanish"}[scenario.language]
        words = {"business": "Somebody & Co", **words_for(scenario.language, accent, random)}  # type: ignore[arg-type] # looked up, not written out
        words |= {name: random.choice(choices) for name, choices in scenario.words.items()}
        mood = scenario.moods[number % len(scenario.moods)]
        performances.append(_compose(number, scenario, accent, words, mood, number % 10, random))  # type: ignore[arg-type] # as above
    return performances


def test_every_dialogue_can_be_said_to_its_end() -> None:
    for call in _every_performance():
        text = "\n".join(turn.text for turn in call.turns)
        assert not re.search(r"[{}\[\]<>|~]", text), f"{call.scenario}: {text}"
        assert "  " not in text
        assert call.turns[0].role == "assistant"


def test_every_aside_goes_from_caller_to_assistant() -> None:
    for aside in all_asides():
        for mood in aside.moods:
            speakers = [line.speaker for line in aside.lines if line.fits(frozenset({mood}))]
            assert speakers[0] == "user", aside.title
            assert speakers[-1] == "assistant", aside.title
            assert all(one != other for one, other in itertools.pairwise(speakers)), aside.title


@pytest.mark.parametrize("line", ["B: who is this?", "C angry: no such mood", "~"])
def test_a_line_that_makes_no_sense_is_refused_by_file(line: str) -> None:
    with pytest.raises(BrokenScript, match=r"^scripts/vet\.txt: .*(cannot read|unknown condition|did not speak)"):
        parse_script(f"trade: vet\n== A cat\nintent: booking\n{line}\n", "vet.txt")
