"""How dear analyses may be, before they are made: from what was said, and the price table.

Rather too dear than too cheap: a token is taken for three bytes where English has four or five, and an answer
for longer than most are, since a model's thoughts are charged as output. Repairs of answers that do not fit are not
in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

import orjson

from streams.analyzers.base import Analyzer
from streams.analyzers.prices import find_price

_BYTES_PER_TOKEN: Final = 3
_TOKENS_OUT: Final = 2000
#: What JSON puts around each turn.
_BYTES_PER_TURN: Final = 45


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """What analyses may take; a cost of None is what nobody knows, never nothing."""

    model: str
    tokens_in: int
    tokens_out: int
    cost_usd: Decimal | None


def estimate_cost(*, sessions: int, turns: int, text_bytes: int, analyzer: Analyzer, model: str) -> Estimate:
    """What a model may charge for so many sessions, in which so much was said."""
    around = len(analyzer.instructions.encode()) + len(orjson.dumps(analyzer.output.model_json_schema()))
    tokens_in = (sessions * around + turns * _BYTES_PER_TURN + text_bytes) // _BYTES_PER_TOKEN
    tokens_out = sessions * _TOKENS_OUT
    price = find_price(model)
    cost_usd = price.cost_usd(tokens_in=tokens_in, cached_tokens_in=0, tokens_out=tokens_out) if price else None
    return Estimate(model=model, tokens_in=tokens_in, tokens_out=tokens_out, cost_usd=cost_usd)
