"""Analyzers: what turns a transcript into an insight.

Importing this costs little: who plans work asks it too. The model's client and the local rules are loaded where they
run.
"""

from __future__ import annotations

from streams.analyzers.base import Analyzer
from streams.analyzers.summary import SUMMARY

__all__ = ["ANALYZERS", "Analyzer"]

#: Every analyzer of this release; live calls are given to each.
ANALYZERS: tuple[Analyzer, ...] = (SUMMARY,)
