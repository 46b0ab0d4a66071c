"""The local analyzer: stated rules in place of a model. Needs no network and no key, and always answers the same.

It knows English, German and Spanish, each by one file in `tables/`. Any other language is skipped, never guessed at.
It quotes rather than rephrases, so it says nothing that was not said; what it cannot read off the words, it misses.
"""

from __future__ import annotations

import asyncio
import time

from streams.analyzers.base import Analyzer, Extracted, Skipped, Transcript, Usage, Verdict
from streams.analyzers.local.languages import detect_language
from streams.analyzers.local.summarize import summarize
from streams.analyzers.summary import SUMMARY, Summary

#: The name in the column `model`.
MODEL = "local"


class LocalEngine:
    """An `Engine`."""

    description = "the local rules, nothing leaves this machine"

    async def close(self) -> None:
        """See the protocol."""

    async def analyze(self, analyzer: Analyzer, transcript: Transcript) -> Verdict:
        """See the protocol."""
        if analyzer.name != SUMMARY.name:
            return Skipped(reason="the local rules do not have this analyzer")
        started = time.perf_counter()
        # In a thread: a transcript of megabytes takes seconds.
        result = await asyncio.to_thread(summarize_locally, transcript)
        if result is None:
            return Skipped(reason="language")
        latency_ms = round((time.perf_counter() - started) * 1000)
        return Extracted(result=result.model_dump(mode="json"), usage=Usage(model=MODEL, model_latency_ms=latency_ms))


def summarize_locally(transcript: Transcript) -> Summary | None:
    """The summary of a transcript; None if it is in no language that the rules know."""
    rules = detect_language(transcript)
    return summarize(transcript, rules) if rules else None
