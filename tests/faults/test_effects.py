"""What may be done twice is told from what may not."""

from __future__ import annotations

import pytest

from tests.faults.effects import Disturbance, Effect, Effects, is_hit

KILL = Disturbance(what="kill -9", from_s=100.0, to_s=100.1)


def effect(began_at_s: float) -> Effect:
    return Effect(session_id="s1", began_at_s=began_at_s, ended_at_s=began_at_s + 0.1)


@pytest.mark.parametrize("outcomes", [{}, {"s1": [130.0]}, {"s2": [99.5]}, {"s1": [90.0]}])
def test_what_had_begun_and_had_no_outcome_in_the_log_was_in_flight(outcomes: dict[str, list[float]]) -> None:
    assert is_hit(effect(99.0), KILL, outcomes)


@pytest.mark.parametrize(("began_at_s", "sent_at_s"), [(99.0, 99.5), (102.0, 103.0), (80.0, 81.0)])
def test_what_was_known_of_before_or_began_later_was_not(began_at_s: float, sent_at_s: float) -> None:
    assert not is_hit(effect(began_at_s), KILL, {"s1": [sent_at_s]})


def test_of_what_was_done_again_the_one_before_is_told() -> None:
    effects = Effects()
    for session_id in ("s1", "s2", "s1", "s1"):
        with effects.noted(session_id):
            assert session_id in effects.under_way
    assert not effects.under_way
    assert [effects.made.index(each) for each in effects.doubled()] == [0, 2]
    assert effects.repeated == {"s1"}
