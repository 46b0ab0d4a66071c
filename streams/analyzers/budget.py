"""The daily budget: what was spent today (UTC), remembered over restarts in a small file.

It counts what answers said that they cost. Calls in flight are not in it yet, so a day may overspend by as many calls
as run at once; neither are calls whose answer never came.
"""

from __future__ import annotations

import logging
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path

from pydantic import BaseModel, ValidationError

logger = logging.getLogger(__name__)


class _Spend(BaseModel):
    day: date
    usd: Decimal


class DailyBudget:
    """What one insights worker may spend in a day.

    Every method may raise `OSError`.
    """

    def __init__(self, *, limit_usd: float, file: Path) -> None:
        self._limit_usd = Decimal(str(limit_usd))
        self._file = file
        self._spend: _Spend | None = None

    def open(self) -> None:
        """Read what was spent before this process began."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._spend = _Spend.model_validate_json(self._file.read_bytes())
        except FileNotFoundError:
            self._spend = None
        except ValidationError:
            self._spend = None
            logger.warning("What was spent today is not known any more", extra={"action": "spend_unreadable"})

    def is_spent(self, now: datetime) -> bool:
        """Whether today's money is gone."""
        return self._spent_today(now) >= self._limit_usd

    def add(self, cost_usd: Decimal, now: datetime) -> None:
        """Note what an analysis cost."""
        self._spend = _Spend(day=now.date(), usd=self._spent_today(now) + cost_usd)
        draft = self._file.with_suffix(".part")
        draft.write_text(self._spend.model_dump_json(), "utf-8")
        draft.replace(self._file)

    def _spent_today(self, now: datetime) -> Decimal:
        return self._spend.usd if self._spend and self._spend.day == now.date() else Decimal(0)
