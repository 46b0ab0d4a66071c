"""The breaker, by a clock that stands still until it is told."""

from __future__ import annotations

import itertools
import logging

import pytest

from streams.breaker import Breaker, Pauses


class ManualClock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class Told:
    """A breaker, and what it told."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.words: list[str | None] = []
        self.breaker = Breaker("insights", tell=self.words.append, clock=self.clock)

    def fail(self, key: str, *, is_certain: bool = False, retry_after_s: float | None = None) -> None:
        self.breaker.note_failure(key, "HTTP 503", is_certain=is_certain, retry_after_s=retry_after_s)

    def probe(self, key: str) -> float:
        """Let a probe fail once it may begin; returns the pause after it."""
        self.clock.now_s += self.breaker.pause_s
        self.fail(key)
        return self.breaker.pause_s


@pytest.fixture
def told() -> Told:
    return Told()


def test_what_is_certain_opens_it_at_once(told: Told) -> None:
    told.fail("a", is_certain=True)
    assert told.breaker.is_open
    assert told.words == ["HTTP 503"]


def test_three_different_ones_open_it_and_one_that_fails_three_times_does_not(told: Told) -> None:
    for _ in range(3):
        told.fail("a")
    told.fail("b")
    assert not told.breaker.is_open
    told.fail("c")
    assert told.breaker.is_open


def test_one_that_gets_through_between_them_clears_all_of_doubt(told: Told) -> None:
    told.fail("a")
    told.fail("b")
    told.breaker.note_success("z")
    told.fail("c")
    told.fail("d")
    assert not told.breaker.is_open


def test_it_is_told_and_logged_once_however_long_it_lasts(told: Told, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        for key in "abcdef":
            told.fail(key, is_certain=True)
        told.breaker.note_success("a")
        told.breaker.note_success("b")
    assert told.words == ["HTTP 503", None]
    assert [vars(record)["action"] for record in caplog.records] == ["paused", "resumed"]
    assert not told.breaker.is_open


def test_pauses_grow_with_each_probe_up_to_a_limit_and_begin_anew_once_it_goes_on(told: Told) -> None:
    told.fail("a", is_certain=True)
    first_s = told.breaker.pause_s
    assert 0.1 <= first_s <= 1.0
    pauses_s = [told.probe("a") for _ in range(12)]
    assert all(later > earlier * 0.9 for earlier, later in itertools.pairwise(pauses_s) if later < 30)
    assert 30 <= pauses_s[-1] <= 60
    told.breaker.note_success("a")
    told.fail("b", is_certain=True)
    assert told.breaker.pause_s <= 1.0


def test_what_failed_side_by_side_makes_one_first_pause(told: Told) -> None:
    for number in range(16):
        told.fail(f"in flight {number}")
    assert told.breaker.pause_s <= 1.0


@pytest.mark.parametrize(("asked_s", "pause_s"), [(30.0, 30.0), (900.0, 900.0), (86_400.0, 900.0)])
def test_patience_is_given_as_it_is_asked_for_up_to_a_limit(told: Told, asked_s: float, pause_s: float) -> None:
    told.fail("a", is_certain=True, retry_after_s=asked_s)
    assert told.breaker.pause_s == pytest.approx(pause_s)
    told.clock.now_s += pause_s
    assert told.breaker.pause_s == 0


def test_patience_that_one_asked_for_is_not_cut_short_by_the_next(told: Told) -> None:
    told.fail("a", is_certain=True, retry_after_s=120.0)
    told.fail("b", is_certain=True)
    assert told.breaker.pause_s == pytest.approx(120.0)


def test_who_fails_while_others_get_through_is_alone_at_fault(told: Told) -> None:
    told.fail("a")
    assert not told.breaker.is_alone_at_fault("a")
    told.breaker.note_success("b")
    assert told.breaker.is_alone_at_fault("a")


def test_who_fails_among_others_that_fail_is_not(told: Told) -> None:
    told.breaker.note_success("z")
    told.fail("a")
    told.fail("b")
    assert not told.breaker.is_alone_at_fault("a")


def test_who_fails_where_others_got_through_before_and_none_was_tried_since_is(told: Told) -> None:
    told.breaker.note_success("z")
    for _ in range(3):
        told.fail("a")
    assert told.breaker.is_alone_at_fault("a")


def test_who_fails_where_nothing_ever_got_through_is_not(told: Told) -> None:
    for _ in range(3):
        told.fail("a")
    assert not told.breaker.has_succeeded
    assert not told.breaker.is_alone_at_fault("a")


def test_who_was_set_aside_begins_anew_if_it_comes_again(told: Told) -> None:
    told.fail("a")
    told.breaker.note_success("b")
    told.breaker.forget("a")
    told.fail("a")
    told.fail("c")
    assert not told.breaker.is_alone_at_fault("a")


def test_reasons_of_two_breakers_are_told_as_one_until_both_are_over() -> None:
    words: list[str | None] = []
    pauses = Pauses(words.append)
    records, work = pauses.listen("records"), pauses.listen("work")
    records("the log failed")
    work("HTTP 503")
    records(None)
    work(None)
    assert words == ["the log failed", "the log failed; HTTP 503", "HTTP 503", None]
