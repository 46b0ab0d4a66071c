"""The daily budget: what was spent today (UTC), in a small file that all processes of a data directory share.

It counts what answers said that they cost. Calls in flight are not in it yet, so a day may overspend by as many calls
as run at once; neither are calls whose answer never came.
"""

from __future__ import annotations

import fcntl
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path

from pydantic import BaseModel, ValidationError

logger = logging.getLogger(__name__)


class _Spend(BaseModel):
    day: date
    usd: Decimal


class DailyBudget:
    """What all insights workers of a data directory may spend in a day.

    Every method may raise `OSError`.
    """

    def __init__(self, *, limit_usd: float, file: Path) -> None:
        self._limit_usd = Decimal(str(limit_usd))
        self._file = file

    def open(self) -> None:
        """Make the folder."""
        self._file.parent.mkdir(parents=True, exist_ok=True)

    def is_spent(self, now: datetime) -> bool:
        """Whether today's money is gone."""
        return self._spent_today(now) >= self._limit_usd

    def add(self, cost_usd: Decimal, now: datetime) -> None:
        """Note what an analysis cost."""
        with self._locked():
            spend = _Spend(day=now.date(), usd=self._spent_today(now) + cost_usd)
            draft = self._file.with_suffix(".part")
            draft.write_text(spend.model_dump_json(), "utf-8")
            draft.replace(self._file)

    def _spent_today(self, now: datetime) -> Decimal:
        spend = self._read()
        return spend.usd if spend and spend.day == now.date() else Decimal(0)

    def _read(self) -> _Spend | None:
        try:
            return _Spend.model_validate_json(self._file.read_bytes())
        except FileNotFoundError:
            return None
        except ValidationError:
            logger.warning("What was spent today is not known any more", extra={"action": "spend_unreadable"})
            self._file.unlink(missing_ok=True)
            return None

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Alone among the processes, for the moment that a small file takes."""
        with self._file.with_suffix(".lock").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
