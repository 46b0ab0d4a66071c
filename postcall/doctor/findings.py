"""What a check found, and what it may look at."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Literal

from postcall.instance import Instance
from postcall.log_connection import LogConnection
from postcall.settings import Configuration, Settings

#: `skipped`: could not be looked at, for a reason that another line tells or that is none to worry about.
State = Literal["ok", "warning", "failed", "skipped"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One line of the report: what was looked at, how it is, and what to do."""

    check: str
    state: State
    says: str
    remedy: str | None = None

    def __str__(self) -> str:
        return f"{self.state:8} {self.check:11} {self.says}" + (f" {self.remedy}" if self.remedy else "")


@dataclass(frozen=True, kw_only=True, slots=True)
class Patient:
    """What is examined: the settings, the pipeline that runs on this data directory if one does, and its log."""

    configuration: Configuration
    settings: Settings
    instance: Instance | None
    log: LogConnection
    is_online: bool

    @property
    def is_embedded(self) -> bool:
        """Whether the log is the embedded one."""
        return self.settings.kafka is None


#: Gives what it finds. A `PostcallError` that it raises is a failure, too.
Check = Callable[[Patient], AsyncIterator[Finding]]
