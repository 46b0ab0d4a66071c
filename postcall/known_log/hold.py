"""A reader that may not go on stands still, and says why: once in its log, and in a file for `postcall log accept`."""

from __future__ import annotations

import contextlib
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from postcall.errors import LogMismatch
from postcall.known_log.acceptance import HeldReader, publish_held, read_acceptance, touch_held, withdraw_held
from postcall.known_log.comparison import Finding
from postcall.known_log.identity import LogIdentity

logger = logging.getLogger(__name__)


class Hold:
    """Decides whether a reader may go on.

    :param reader: its name within the data directory: `projections`, `normalize-1`.
    :param on_held: called with the reason each time that it changes.
    """

    def __init__(self, reader: str, *, data_dir: Path, on_held: Callable[[str], None]) -> None:
        self._reader = reader
        self._data_dir = data_dir
        self._on_held = on_held
        self._command = f"{LogMismatch.command} --data-dir {data_dir}"
        self._published: HeldReader | None = None
        self._told: set[tuple[str, str, int | None, int]] = set()
        self._has_passed = False
        self.reason: str | None = None

    def passes(self, log: LogIdentity, findings: Sequence[Finding]) -> bool:
        """Whether there is nothing against the log, or all of it was accepted; if not, says so."""
        held = HeldReader(reader=self._reader, log=log, findings=tuple(findings))
        acceptance = read_acceptance(self._data_dir) if findings else None
        if not findings or (acceptance is not None and acceptance.covers(held)):
            self._release(findings)
            return True
        self._publish(held)
        return False

    def _publish(self, held: HeldReader) -> None:
        self._has_passed = False
        # On a full disk the reader is held all the same.
        with contextlib.suppress(OSError):
            if self._published is not None and held.findings == self._published.findings:
                touch_held(self._data_dir, self._reader)
            else:
                publish_held(self._data_dir, held)
                self._published = held
        # A log that goes on growing changes the numbers, and is no news.
        news: set[tuple[str, str, int | None, int]] = {
            (finding.kind, finding.topic, finding.partition, finding.from_offset) for finding in held.findings
        }
        if news != self._told:
            self._told = news
            self._tell(held.findings)

    def _tell(self, findings: Sequence[Finding]) -> None:
        self.reason = str(mismatch_of(findings, command=self._command))
        # One line of each kind: after a move, or where a whole log was lost, every partition tells the same.
        counts = Counter(finding.kind for finding in findings)
        first_of_kind = {finding.kind: finding for finding in reversed(findings)}
        for kind, finding in reversed(first_of_kind.items()):
            facts = {"action": "held", "findings": counts[kind]} | _facts(finding)
            logger.error("Held: %s", finding.reason, extra=facts)
        logger.error("Held until this is accepted with: %s", self._command, extra={"action": "held"})
        self._on_held(self.reason)

    def _release(self, findings: Sequence[Finding]) -> None:
        if findings and not self._has_passed:
            logger.warning("Log was accepted, going on", extra={"action": "log_accepted", "findings": len(findings)})
        self.reason = self._published = None
        self._told = set()
        self._has_passed = True
        with contextlib.suppress(OSError):
            withdraw_held(self._data_dir, self._reader)


def mismatch_of(findings: Sequence[Finding], *, command: str | None = None) -> LogMismatch:
    """The error that tells the findings, the first of them in numbers."""
    first = findings[0]
    more = f" (and {len(findings) - 1} more)" if len(findings) > 1 else ""
    return LogMismatch(
        first.reason + more,
        topic=first.topic,
        partition=first.partition,
        from_offset=first.from_offset,
        to_offset=first.to_offset,
        count=first.count,
        command=command,
    )


def _facts(finding: Finding) -> dict[str, object]:
    return {
        "kind": finding.kind,
        "topic": finding.topic,
        "partition": finding.partition,
        "from_offset": finding.from_offset,
        "to_offset": finding.to_offset,
        "count": finding.count,
    }
