"""`postcall search`: what is found, how it is shown, and that nothing of the phrase is special."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest
from rich.console import Console

from postcall.events import SessionEnded, Turn, input_hash
from postcall.settings import Settings
from projections.files import make_serving
from projections.query.runner import QueryRunner
from projections.reading import open_read_only
from projections.searching.phrases import find_phrase
from projections.searching.transcripts import Match, Search, make_query, print_matches, read_answer, search
from projections.settings import QuerySettings
from projections.warehouse import Warehouse
from tests.projections.calls import FIRST_CALL_AT
from tests.projections.conftest import fill_log
from tests.projections.logbook import Said, apply_records, number_records
from tests.projections.service import StartService
from tests.waiting import eventually

ROOT = Path(__file__).parents[2]
CALLS = {
    "first": ["I want a Refund.", "A refund it is."],
    "second": ["Ich möchte eine RÜCKERSTATTUNG.", "100% sure?", "under_score \x1b[31mred"],
    "third": ["Un café, por favor.", "refund"],
}


def end_call(name: str, day: int) -> Said:
    """A call of a day, in which caller and agent take turns."""
    started_at = FIRST_CALL_AT + timedelta(days=day)
    turns = tuple(
        Turn(role="assistant" if number % 2 else "user", text=text) for number, text in enumerate(CALLS[name])
    )
    ended = SessionEnded(session_id=name, started_at=started_at, transcript=turns, input_hash=input_hash(turns))
    return Said(ended, started_at)


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a warehouse of these calls, on which nothing runs."""
    path = tmp_path_factory.mktemp("data")
    warehouse = Warehouse(path / "warehouse-1.duckdb")
    said = [end_call(name, day) for day, name in enumerate(CALLS)]
    apply_records(warehouse, number_records([each.to_record() for each in said]))
    warehouse.close()
    make_serving(path / "warehouse-1.duckdb")
    return path


@pytest.fixture(scope="module")
def runner(data_dir: Path) -> Iterator[QueryRunner]:
    """Runs queries against that warehouse."""
    warehouse = open_read_only(data_dir)
    runner = QueryRunner(lambda: warehouse, QuerySettings())
    yield runner
    runner.close()
    warehouse.close()


def find(runner: QueryRunner, wanted: Search) -> list[tuple[str, int]]:
    """Session and turn of each match."""
    statement, parameters = make_query(wanted, timezone="UTC")
    body = b"".join(runner.run(statement, parameters=parameters).chunks())
    return [(match.session_id, match.seq) for match in read_answer(body, limit=wanted.limit).matches]


def test_what_was_said_is_found_the_latest_call_first(runner: QueryRunner) -> None:
    assert find(runner, Search(phrase="REFUND")) == [("third", 2), ("first", 1), ("first", 2)]


def test_accents_do_not_matter_on_either_side(runner: QueryRunner) -> None:
    for phrase in ("cafe", "CAFÉ", "cafe\u0301"):
        assert find(runner, Search(phrase=phrase)) == [("third", 1)]
    assert find(runner, Search(phrase="rückerstattung")) == find(runner, Search(phrase="ruckerstattung")) != []


def test_no_character_of_the_phrase_is_special(runner: QueryRunner) -> None:
    assert find(runner, Search(phrase="100%")) == [("second", 2)]
    assert find(runner, Search(phrase="r_score")) == [("second", 3)]
    for phrase in ("1%0", "re_und", "' OR true --", ".*", "\\"):
        assert find(runner, Search(phrase=phrase)) == []


def test_only_what_one_of_them_said_and_only_from_a_day_on(runner: QueryRunner) -> None:
    assert find(runner, Search(phrase="refund", role="user")) == [("first", 1)]
    day = (FIRST_CALL_AT + timedelta(days=1)).date()
    assert find(runner, Search(phrase="refund", since=day)) == [("third", 2)]
    assert find(runner, Search(phrase="refund", since=date(2100, 1, 1))) == []


@pytest.mark.parametrize(
    ("text", "phrase", "places"),
    [
        ("A refund, a REFUND.", "Refund", ["refund", "REFUND"]),
        ("Un cafe\u0301, un café", "CAFÉ", ["cafe\u0301", "café"]),
        ("İstanbul", "stan", ["stan"]),
        ("aaa", "aa", ["aa"]),
        ("nothing", "", []),
        ("nothing", "some", []),
    ],
)
def test_the_phrase_is_found_again_where_it_stands(text: str, phrase: str, places: list[str]) -> None:
    assert [text[start:end].strip("\u0301") for start, end in find_phrase(text, phrase)] == [
        place.strip("\u0301") for place in places
    ]


def test_on_a_terminal_the_phrase_is_bold_and_nothing_steers_it() -> None:
    output = io.StringIO()
    console = Console(file=output, force_terminal=True, width=80, highlight=False, color_system="standard")
    match = Match(
        session_id="s\x1b]0;x\x07", seq=1, role="user", text="a Refund\x1b[2J", said_at="2026-02-03T09:00:00Z"
    )
    print_matches([match], "refund", console=console)
    assert "a \x1b[1mRefund\x1b[0m" in output.getvalue()
    assert "2026-02-03 09:00 UTC" in output.getvalue()
    assert "\x1b[2J" not in output.getvalue()
    assert "\x07" not in output.getvalue()


def run_search(data_dir: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "postcall", "search", "--data-dir", str(data_dir), *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "POSTCALL_ENV_FILE": ""},
        cwd=ROOT,
        check=False,
        timeout=60,
    )


def test_the_command_prints_json_and_says_that_there_is_more(data_dir: Path) -> None:
    ran = run_search(data_dir, "refund", "--limit", "1", "--json")
    assert ran.returncode == 0
    assert json.loads(ran.stdout) == [
        {
            "session_id": "third",
            "seq": 2,
            "role": "assistant",
            "text": "refund",
            "said_at": "2026-02-05T09:00:00Z",
        }
    ]
    assert "--limit" in ran.stderr


def test_a_command_without_a_phrase_or_with_a_wrong_day_is_wrong_usage(data_dir: Path) -> None:
    for arguments in ((" ",), ("refund", "--since", "yesterday")):
        assert run_search(data_dir, *arguments).returncode == 2


async def test_a_running_pipeline_is_asked(log_address: str, tmp_path: Path, start_service: StartService) -> None:
    await fill_log(log_address, range(2))
    service = start_service(log_address, tmp_path)

    async def has_all() -> bool:
        return await service.count("transcripts") == 12

    await eventually(has_all)
    wanted = Search(phrase="TURN 3 of call 1")
    found = search(wanted, settings=Settings(data_dir=tmp_path), query_settings=QuerySettings())
    assert [(match.session_id, match.seq) for match in found.matches] == [("session-000001", 4)]
