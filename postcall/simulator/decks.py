"""Chance that repeats itself: every random choice of the simulator is named by the seed and by what it is for."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import TypeVar

Card = TypeVar("Card")


def chance(seed: int, *purpose: object) -> Random:
    """A generator of its own for one purpose, so that one choice more here changes nothing there."""
    return Random("/".join(map(str, (seed, *purpose))))  # noqa: S311 - it must repeat itself


def deck(*counted: tuple[int, Card]) -> tuple[Card, ...]:
    """A deck from how many there are of each card."""
    return tuple(card for count, card in counted for _ in range(count))


def deal(cards: Sequence[Card], place: int, seed: int, purpose: str) -> Card:
    """The card at `place` when the deck is dealt out, shuffled anew, dealt again: each round holds the whole mix."""
    dealt_decks, place_in_deck = divmod(place, len(cards))
    order = list(range(len(cards)))
    chance(seed, purpose, dealt_decks).shuffle(order)
    return cards[order[place_in_deck]]
