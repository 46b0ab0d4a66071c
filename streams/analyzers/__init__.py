"""Analyzers: what turns a transcript into an insight.

Importing this costs little: who plans work asks it too. The model's client and the local rules are loaded where they
run.
"""

from __future__ import annotations

from postcall.settings import Configuration
from streams.analyzers.base import Analyzer
from streams.analyzers.summary import SUMMARY

__all__ = ["ANALYZERS", "Analyzer", "enabled"]

#: Every analyzer of this release.
ANALYZERS: tuple[Analyzer, ...] = (SUMMARY,)


def enabled(configuration: Configuration) -> tuple[Analyzer, ...]:  # noqa: ARG001 - part of the contract: callers pass it
    """The analyzers that live calls are given to."""
    return ANALYZERS
