"""What an analysis costs: the table `prices.toml`, and nothing where it does not know the model."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from importlib import resources
from typing import Final

_SNAPSHOT_DATE: Final = re.compile(r"-\d{4}-\d{2}-\d{2}$")
_MILLION: Final = 1_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Price:
    """USD per million tokens."""

    input: Decimal
    cached_input: Decimal
    output: Decimal

    def cost_usd(self, *, tokens_in: int, cached_tokens_in: int, tokens_out: int) -> Decimal:
        """The cost of a call; the cached tokens are some of `tokens_in`."""
        cached = min(cached_tokens_in, tokens_in)
        fresh_usd = self.input * (tokens_in - cached)
        return (fresh_usd + self.cached_input * cached + self.output * tokens_out) / _MILLION


def find_price(model: str) -> Price | None:
    """The price of a model, or of the model that it is a dated snapshot of."""
    prices = _read_prices()
    return prices.get(model) or prices.get(_SNAPSHOT_DATE.sub("", model))


@cache
def _read_prices() -> dict[str, Price]:
    text = resources.files("streams.analyzers").joinpath("prices.toml").read_text("utf-8")
    table = tomllib.loads(text)
    return {model: Price(**{name: Decimal(usd) for name, usd in columns.items()}) for model, columns in table.items()}
