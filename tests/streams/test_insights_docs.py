"""docs/insights.md names what the code has: fields, settings, reasons."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import get_args

import pytest

from streams.analyzers.settings import InsightSettings
from streams.analyzers.summary import Intent, Sentiment, Summary

PAGE = (Path(__file__).parents[2] / "docs" / "insights.md").read_text("utf-8")
SETTINGS = [f"POSTCALL_{field.name.upper()}" for field in dataclasses.fields(InsightSettings)]


@pytest.mark.parametrize("word", [*Summary.model_fields, *get_args(Intent), *get_args(Sentiment), *SETTINGS])
def test_the_page_names_it(word: str) -> None:
    assert f"`{word}`" in PAGE
