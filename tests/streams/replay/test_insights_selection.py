"""Which sessions a replay is about, asked of a real warehouse; and what it says before it begins."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest

from postcall.errors import UsageError
from postcall.log import encode
from postcall.messages import Message
from postcall.outcomes import AnalysisFailed, AnalysisSkipped, InsightExtracted
from postcall.requests import AnalyzeSession
from postcall.settings import Configuration
from projections.files import make_serving
from projections.query.runner import QueryRunner
from projections.settings import QuerySettings
from projections.warehouse import Warehouse
from streams.analyzers import ANALYZERS
from streams.replay.insights_command import choose_selection, start_replay
from streams.replay.insights_cost import estimate_cost
from streams.replay.insights_run import ReplayOptions
from streams.replay.insights_selection import Selected, Selection, select_sessions
from tests.projections.calls import FIRST_CALL_AT
from tests.projections.logbook import apply_records, number_records
from tests.streams.replay.paid_model import ended, session_of

#: One call every seven minutes, so the last 100 are of the second day.
_CALLS = 220
_SUMMARY = Selection(analyzer="summary", revision=1)


def _messages() -> Iterator[Message]:
    for number in range(_CALLS):
        yield ended(number)
    # Its richer transcript wins, and has no result; the poorer one had.
    yield ended(0, turns=8)
    yield _outcome(0, InsightExtracted, result={"summary": "…"})
    yield _outcome(1, InsightExtracted, result={"summary": "…"})
    yield _outcome(2, InsightExtracted, result={})
    yield _outcome(3, AnalysisSkipped, reason="language")
    yield _outcome(4, AnalysisSkipped, reason="budget")
    yield _outcome(5, AnalysisFailed, reason="refusal")
    yield _outcome(6, InsightExtracted, analyzer="tags", result={"tags": []})
    yield _outcome(7, InsightExtracted, revision=2, result={"summary": "…"})


def _outcome(number: int, kind: type[Any], *, analyzer: str = "summary", revision: int = 1, **fields: Any) -> Message:
    event = ended(number)
    request = AnalyzeSession(
        session_id=event.session_id, analyzer=analyzer, revision=revision, input="", input_hash=event.input_hash
    )
    message: Message = kind(
        session_id=event.session_id,
        request_id=request.request_id,
        attempt=1,
        analyzer=analyzer,
        revision=revision,
        input_hash=event.input_hash,
        trigger="live",
        produced_at=FIRST_CALL_AT,
        **fields,
    )
    return message


def _fill(warehouse: Warehouse) -> Warehouse:
    records = [encode(message, source="layercode", time=FIRST_CALL_AT) for message in _messages()]
    apply_records(warehouse, number_records(records))
    return warehouse


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with a warehouse."""
    path = tmp_path_factory.mktemp("data")
    _fill(Warehouse(path / "warehouse-1.duckdb")).close()
    make_serving(path / "warehouse-1.duckdb")
    return path


@pytest.fixture(scope="module")
def runner() -> Iterator[QueryRunner]:
    """Asks one like it."""
    warehouse = _fill(Warehouse(":memory:"))
    runner = QueryRunner(lambda: warehouse, QuerySettings())
    yield runner
    runner.close()
    warehouse.close()


def _select(runner: QueryRunner, selection: Selection, *, timezone: str = "UTC", page_rows: int = 1000) -> Selected:
    def ask(sql: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = orjson.loads(b"".join(runner.run(sql).chunks()))["rows"]
        return rows

    return select_sessions(selection, ask, reporting_timezone=timezone, page_rows=page_rows)


def test_winning_transcripts_without_a_result_are_selected(runner: QueryRunner) -> None:
    found = _select(runner, _SUMMARY, page_rows=50)
    wanted = [0, *range(6, _CALLS)]
    assert [session_id for session_id, _ in found.work] == [session_of(number) for number in wanted]
    assert dict(found.work)[session_of(0)] == ended(0, turns=8).input_hash
    assert (found.failed, found.over_budget) == (1, 1)
    assert found.turns == 6 * (_CALLS - 6) + 8
    said = [turn.text for number in wanted for turn in ended(number, turns=6 if number else 8).transcript]
    assert found.text_bytes == sum(len(text.encode()) for text in said)


def test_days_are_whole_ones_in_the_reporting_time_zone(runner: QueryRunner) -> None:
    day = date(2026, 2, 4)
    only_that_day = Selection(analyzer="summary", revision=1, since=day, until=day)
    times = {session_of(number): ended(number).started_at for number in range(6, _CALLS)}
    in_utc = [session_id for session_id, at in times.items() if at is not None and at.date() == day]
    assert [session_id for session_id, _ in _select(runner, only_that_day).work] == in_utc
    assert in_utc
    until_the_last = Selection(analyzer="summary", revision=1, since=day, until=date.max)
    assert len(_select(runner, until_the_last).work) == len(in_utc)
    # Nine hours ahead the day begins at 15:00 of the day before.
    elsewhere = _select(runner, only_that_day, timezone="Asia/Tokyo").work
    assert elsewhere[0][0] < in_utc[0]


def test_one_session_is_selected_by_its_id_whatever_is_in_it(runner: QueryRunner) -> None:
    one = Selection(analyzer="summary", revision=1, session_id=session_of(9))
    assert [session_id for session_id, _ in _select(runner, one).work] == [session_of(9)]
    assert not _select(runner, Selection(analyzer="summary", revision=1, session_id="' OR 'a' = 'a")).work


def test_a_cost_is_estimated_from_what_was_said_and_unknown_without_a_price() -> None:
    def estimate(model: str, sessions: int = 10) -> Decimal | None:
        taken = estimate_cost(sessions=sessions, turns=60, text_bytes=6000, analyzer=ANALYZERS[0], model=model)
        return taken.cost_usd

    dear, cheap = estimate("gpt-5"), estimate("gpt-5-nano")
    assert dear is not None
    assert cheap is not None
    assert dear > cheap > 0
    assert estimate("somebody's-own") is None


def test_an_analyzer_is_named_with_or_without_its_revision() -> None:
    days: dict[str, Any] = {"since": None, "until": None, "session_id": None}
    assert choose_selection("summary", **days) == choose_selection("summary@1", **days) == _SUMMARY
    for unknown in ("summery", "summary@2", "summary@x", ""):
        with pytest.raises(UsageError, match="there are: summary@1"):
            choose_selection(unknown, **days)


def _options(**changes: Any) -> ReplayOptions:
    fields: dict[str, Any] = {"is_dry_run": False, "is_confirmed": False, "budget_usd": None, "as_json": False}
    return ReplayOptions(**{**fields, **changes})


def test_a_dry_run_says_how_many_and_how_dear_and_needs_no_log(
    data_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start_replay(_SUMMARY, Configuration(flags={"data_dir": data_dir}), _options(is_dry_run=True))
    said = capsys.readouterr().out
    assert "215 sessions have no result of summary@1." in said
    assert "1 more failed" in said
    assert "gpt-5-mini at most about 0." in said
    assert "USD" in said
    start_replay(_SUMMARY, Configuration(flags={"data_dir": data_dir}), _options(is_dry_run=True, as_json=True))
    facts = orjson.loads(capsys.readouterr().out)
    assert (facts["sessions"], facts["failed_before"], facts["over_budget_before"]) == (215, 1, 1)


def test_nobody_is_charged_who_could_not_be_asked(data_dir: Path) -> None:
    without_pipeline = Configuration(flags={"data_dir": data_dir})
    with pytest.raises(UsageError, match="No pipeline runs"):
        start_replay(_SUMMARY, without_pipeline, _options(is_confirmed=True))
    on_kafka = Configuration(flags={"data_dir": data_dir, "kafka": "127.0.0.1:1"})
    with pytest.raises(UsageError, match="--yes"):
        start_replay(_SUMMARY, on_kafka, _options())


@pytest.mark.parametrize(
    ("model", "amount", "words"),
    [("gpt-5-mini", "0", "above zero"), ("gpt-5-mini", "nan", "above zero"), ("no-price", "5", "price")],
)
def test_a_budget_that_would_never_stop_anything_is_refused(
    data_dir: Path, model: str, amount: str, words: str
) -> None:
    configuration = Configuration(flags={"data_dir": data_dir, "openai_model": model})
    with pytest.raises(UsageError, match=words):
        start_replay(_SUMMARY, configuration, _options(budget_usd=Decimal(amount)))
