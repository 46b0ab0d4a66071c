"""The breaker: while what fails is not the record, the stage pauses instead of using records up.

It is open while the log, the disk, the vendor or the model is known to fail, and while one record after the other
fails without any getting through. Then only one is tried at a time, with growing pauses; the first that gets through
closes it. What fails alone, while others get through, is the record's own fault.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable

from streams.failures import pause_after

logger = logging.getLogger(__name__)

#: So many different records that fail in a row are no coincidence, if none got through for so long: a server that is
#: merely busy lets some through.
_DOUBTED_RECORDS = 3
_DOUBT_S = 10.0
_LONGEST_PAUSE_S = 60.0
# A server may ask for more patience than ours, up to this.
_LONGEST_ASKED_PAUSE_S = 900.0


def _tell_nobody(_reason: str | None) -> None:
    pass


class Breaker:
    """Counts what fails and what gets through, by the records' keys.

    :param tell: called with the reason when it opens, and with None when it closes.
    """

    def __init__(
        self,
        stage: str,
        *,
        tell: Callable[[str | None], None] = _tell_nobody,
        longest_pause_s: float = _LONGEST_PAUSE_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.tell = tell
        self._stage = stage
        self._longest_pause_s = longest_pause_s
        self._clock = clock
        self._is_open = False
        self._successes = 0
        self._succeeded_at_s = -math.inf
        self._failed_probes = 0
        # Keys that failed since anything got through, and might share a cause.
        self._doubted: set[str] = set()
        # Of each key that failed and is not done with: how many had got through when it did first, and last.
        self._successes_before: dict[str, tuple[int, int]] = {}
        self._probe_at_s = 0.0

    @property
    def is_open(self) -> bool:
        """Whether to try one at a time, and only after `pause_s`."""
        return self._is_open

    @property
    def pause_s(self) -> float:
        """Seconds until the next one may be tried."""
        return max(0.0, self._probe_at_s - self._clock())

    @property
    def has_succeeded(self) -> bool:
        """Whether anything got through since this process began."""
        return self._successes > 0

    def note_success(self, key: str) -> None:
        """This one got through: nothing but records can be at fault."""
        self._successes += 1
        self._succeeded_at_s = self._clock()
        self._doubted.clear()
        self.forget(key)
        if self._is_open:
            self._is_open = False
            logger.info("Stage goes on", extra={"action": "resumed", "stage": self._stage})
            self.tell(None)

    def note_failure(self, key: str, reason: str, *, is_certain: bool, retry_after_s: float | None = None) -> None:
        """This one did not.

        :param reason: in words for the operator.
        :param is_certain: the record is known not to be at fault.
        """
        if not self.others_got_through_since(key):
            self._doubted.add(key)
        first, _ = self._successes_before.get(key, (self._successes, 0))
        self._successes_before[key] = (first, self._successes)
        if is_certain or self._is_doubtful():
            self._open(reason)
        if self._is_open:
            self._lengthen(retry_after_s)

    def _is_doubtful(self) -> bool:
        return len(self._doubted) >= _DOUBTED_RECORDS and self._clock() - self._succeeded_at_s >= _DOUBT_S

    def _open(self, reason: str) -> None:
        if self._is_open:
            return
        self._is_open = True
        self._failed_probes = 0
        self._probe_at_s = self._clock()
        logger.error(
            "Stage pauses, and tries one record at a time: %s",
            reason,
            extra={"action": "paused", "stage": self._stage},
        )
        self.tell(reason)

    def _lengthen(self, retry_after_s: float | None) -> None:
        now_s = self._clock()
        # What fails before the pause is over was under way when it began, and is no news.
        if now_s >= self._probe_at_s:
            self._failed_probes += 1
            self._probe_at_s = now_s + pause_after(self._failed_probes, longest_s=self._longest_pause_s)
        if retry_after_s is not None:
            self._probe_at_s = max(self._probe_at_s, now_s + min(retry_after_s, _LONGEST_ASKED_PAUSE_S))

    def forget(self, key: str) -> None:
        """It is not tried any more."""
        self._successes_before.pop(key, None)

    def others_got_through_since(self, key: str) -> bool:
        """Whether others got through since this one failed last: then it has a trouble of its own."""
        _, last = self._successes_before.get(key, (0, self._successes))
        return self._successes > last

    def is_alone_at_fault(self, key: str) -> bool:
        """Whether others got through since this one failed first; or, if none was tried since, before."""
        first, _ = self._successes_before.get(key, (self._successes, 0))
        return self._successes > first or (self.has_succeeded and self._doubted <= {key})


class Pauses:
    """What keeps a stage, told as one reason: it takes records and it works on them, and either may pause.

    :param tell: called with the reason when a pause begins or changes, and with None when all is well again.
    """

    def __init__(self, tell: Callable[[str | None], None]) -> None:
        self._tell = tell
        self._reasons: dict[str, str] = {}

    def listen(self, what: str) -> Callable[[str | None], None]:
        """What the breaker of one of them is to tell."""

        def note(reason: str | None) -> None:
            if reason is None:
                self._reasons.pop(what, None)
            else:
                self._reasons[what] = reason
            self._tell("; ".join(self._reasons.values()) or None)

        return note
