"""On which log each test ran, and what it measured, said at the end of a run.

Noted with the test's own report, so that it reaches the one who prints when several processes share the tests.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

import pytest

EMBEDDED = "the embedded log"
_LOG = "log"


def note_log(test: pytest.Item, name: str) -> None:
    """Note the log that a test is given."""
    test.user_properties.append((_LOG, name))


def summarize(reports: Iterable[pytest.TestReport]) -> Iterator[str]:
    """The lines to print: what was measured, and the count of tests on each log."""
    ran = [report for report in reports if report.when == "call" and not report.skipped]
    for report in ran:
        for name, value in report.user_properties:
            if name != _LOG:
                yield f"{report.nodeid.rpartition('::')[2]}: {name}: {value}"
    counts = Counter(str(value) for report in ran for name, value in report.user_properties if name == _LOG)
    if counts:
        first, *others = (f"{count} tests on {name}" for name, count in sorted(counts.items(), key=_embedded_first))
        yield ", ".join((first, *(other.replace(" tests", "", 1) for other in others)))


def _embedded_first(counted: tuple[str, int]) -> tuple[bool, str]:
    return counted[0] != EMBEDDED, counted[0]
