"""A user's own files: what is refused, with which words, and that nobody else is touched by it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from postcall.errors import UsageError
from projections.batch import build_batch
from projections.definitions import PROJECTIONS, SHIPPED_ONLY, DefinitionsSource
from projections.errors import ProjectionStopped
from projections.new_projection import write_projection
from projections.warehouse import OWN_STATEMENTS_S, Warehouse
from tests.projections.calls import make_records
from tests.projections.logbook import forget_all, number_records, read_tables
from tests.projections.own_files import one_table

RECORDS = number_records(make_records(range(4)))
ENDED = [(f"session-{number:06}", 1) for number in range(4)]


class OwnFolder:
    """A folder of a user's files, and the warehouse that is made of them."""

    def __init__(self, folder: Path, warehouse: Warehouse) -> None:
        self.folder = folder
        self.source = DefinitionsSource(folder=folder)
        self.warehouse = warehouse

    def write(self, name: str, text: str | bytes) -> Path:
        path = self.folder / f"{name}.sql"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    def take_up(self) -> dict[str, str]:
        """Take the files up as they are now; says which are refused, and why."""
        self.warehouse.adopt(self.source.load())
        return {Path(refusal.path).name: str(refusal) for refusal in self.warehouse.definitions.refusals}

    def read(self, start: int = 0, end: int | None = None) -> list[ProjectionStopped]:
        return self.warehouse.apply(build_batch(RECORDS[start:end]))

    def rows(self, name: str) -> list[tuple[Any, ...]]:
        return read_tables(self.warehouse, [name])[name]


@cache
def shared_warehouse(own_statements_s: float) -> Warehouse:
    return Warehouse(":memory:", own_statements_s=own_statements_s)


@pytest.fixture
def own(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[OwnFolder]:
    """The limit is a short one only where something does not end: so no busy machine can miss it elsewhere."""
    warehouse = shared_warehouse(5.0 if "[no end]" in request.node.name else OWN_STATEMENTS_S)
    yield OwnFolder(tmp_path, warehouse)
    warehouse.adopt(SHIPPED_ONLY.load())
    forget_all(warehouse)


COUNTLESS = "SELECT sum(hash(a.range + b.range)) AS n FROM range(10000000) a, range(10000000) b"
ENDLESS = "SELECT session_id, sum(hash(a.range + b.range)) FROM events, range(9999999) a, range(9999999) b GROUP BY 1"

#: The file, and the line and words with which it is refused.
BROKEN: dict[str, tuple[str | bytes, int, str]] = {
    "a parse error": (one_table("mine", apply="INSERT INTO mine\nSELEC 1;"), 9, "syntax error"),
    "an unknown column": (
        one_table("mine", apply="INSERT INTO mine\nSELECT nix, 1 FROM events;"),
        9,
        '"nix" not found',
    ),
    "a fault in the schema": (one_table("mine", schema="CREATE TABLE mine (a NONSENSE);"), 5, "NONSENSE"),
    "a fault in the view": (one_table("mine", view="SELECT session_id,\n  nix\nFROM mine;"), 12, '"nix" not found'),
    "no table of its name": (one_table("mine", schema="CREATE TABLE other (a INTEGER);"), 8, "mine does not exist"),
    "no header": ("-- name: schema\nCREATE TABLE mine (a INTEGER);\n", 1, "no section `-- name: view`"),
    "an input that is none": (one_table("mine", reads="calls (Ended)"), 1, "reads 'calls'; there are events,"),
    "a section that is none": (one_table("mine") + "-- name: extra\nSELECT 1", 1, "section 'extra'"),
    "no UTF-8": (b"-- reads: events (\xff)\n", 1, "not UTF-8"),
    "a table of ours": (
        one_table("mine", apply="INSERT INTO webhooks_1.webhook_deliveries SELECT 1;"),
        8,
        "webhooks_1",
    ),
    "the checkpoints": (one_table("mine", apply="DELETE FROM base.checkpoints;"), 8, "base.checkpoints"),
    "a view of ours": (one_table("mine", apply="INSERT INTO mine\nFROM sessions;"), 9, "sessions does not exist"),
    "main": (one_table("mine", apply="CREATE TABLE IF NOT EXISTS main.extra (a INTEGER);"), 5, "main.extra"),
    "a view in place of ours": (
        one_table("mine", apply="CREATE OR REPLACE VIEW main.calls AS SELECT 1;"),
        5,
        "main.calls",
    ),
    "a macro for everybody": (one_table("mine", apply="CREATE TEMP MACRO sum(x) AS 42;"), 5, "macro main.sum"),
    "COMMIT": (
        one_table("mine", apply="INSERT INTO mine SELECT session_id, 1 FROM events;\nCOMMIT;"),
        9,
        "TRANSACTION",
    ),
    "ROLLBACK": (one_table("mine", schema="CREATE TABLE mine (a INTEGER);\n\nROLLBACK;"), 7, "TRANSACTION"),
    "SET": (one_table("mine", apply="SET threads = 64;"), 8, "SET"),
    "ATTACH": (one_table("mine", apply="ATTACH 'other.duckdb' AS other;"), 8, "ATTACH"),
    "DROP": (one_table("mine", apply="DROP TABLE sessions_1.session_records;"), 8, "DROP"),
    "COPY": (one_table("mine", apply="COPY (SELECT 1) TO 'leak.csv';"), 8, "COPY"),
    "PRAGMA": (one_table("mine", apply="PRAGMA database_size;"), 8, "PRAGMA"),
    "an open PIVOT": (
        one_table("mine", apply="CREATE TEMP TABLE p AS PIVOT events ON type;"),
        8,
        "must name its values",
    ),
    "two statements in a view": (one_table("mine", view="SELECT 1; DROP TABLE mine"), 11, "DROP"),
    "no end": (one_table("mine", schema=f"CREATE TABLE mine AS {COUNTLESS}"), 5, "took longer"),
}


@pytest.mark.parametrize(("text", "line", "words"), BROKEN.values(), ids=BROKEN)
def test_a_broken_file_is_refused_by_line_and_stops_only_itself(
    own: OwnFolder, text: str | bytes, line: int, words: str
) -> None:
    path = own.write("mine", text)
    own.write("whole", one_table("whole"))
    (refusal,) = own.take_up().values()
    assert refusal.startswith(f"{path}, line {line}: ")
    assert words in refusal
    assert own.read() == []
    assert own.rows("whole") == ENDED
    assert len(own.rows("sessions")) == 4


@pytest.mark.parametrize("name", ["sessions", "checkpoints", "events", "Mine", "1st", "a-b", 'a"b', "a;b", "x" * 64])
def test_a_name_that_cannot_be_one_is_refused(own: OwnFolder, name: str) -> None:
    own.write(name, one_table("mine"))
    (refusal,) = own.take_up().values()
    assert "taken" in refusal or "must be lower-case letters" in refusal


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(one_table("mine").replace("\n", "\r\n").encode(), id="CRLF"),
        pytest.param(b"\xef\xbb\xbf-- reads: events (SessionEnded)\n" + one_table("mine").encode(), id="BOM"),
        pytest.param(one_table("mine") + "-- a comment\n" * 80_000, id="1 MB"),
        pytest.param(one_table("mine").replace("INSERT", "/* INSERT; */ INSERT"), id="a semicolon in a comment"),
    ],
)
def test_what_editors_make_of_a_file_is_understood(own: OwnFolder, text: str | bytes) -> None:
    own.write("mine", text)
    assert own.take_up() == {}
    own.read()
    assert own.rows("mine") == ENDED


@pytest.mark.parametrize("name", ["select", "order", "table", "new_winners", "log_now"])
def test_a_name_that_the_engine_knows_can_be_one(own: OwnFolder, name: str) -> None:
    path = write_projection("safe_form", own.folder)
    own.write(name, re.sub(r"\b(TABLE|INTO|FROM) safe_form\b", rf'\1 "{name}"', path.read_text()))
    path.unlink()
    assert own.take_up() == {}
    assert own.read() == []
    assert len(own.rows(f'main."{name}"')) == 4


def test_a_folder_and_a_link_to_nothing_are_told_and_passed_over(own: OwnFolder) -> None:
    (own.folder / "folder.sql").mkdir()
    (own.folder / "link.sql").symlink_to(own.folder / "nowhere")
    own.write("mine", one_table("mine"))
    refusals = own.take_up()
    assert refusals.keys() == {"folder.sql", "link.sql"}
    assert all("cannot be read" in reason for reason in refusals.values())
    own.read()
    assert own.rows("mine") == ENDED


def test_a_file_that_is_removed_is_gone_with_what_stands_on_it(own: OwnFolder) -> None:
    own.write("mine", one_table("mine"))
    own.write("over", "-- over: mine\n\n-- name: view\nSELECT count(*) AS n FROM mine")
    assert own.take_up() == {}
    own.read()
    assert own.rows("over") == [(4,)]
    (own.folder / "mine.sql").unlink()
    assert list(own.take_up()) == ["over.sql"]
    with own.warehouse.snapshot() as reader:
        names = "SELECT schema_name FROM duckdb_schemas() WHERE schema_name LIKE 'mine%'"
        assert reader.execute(names).fetchall() == []
        for (view,) in reader.execute("SELECT name FROM base.views").fetchall():
            reader.execute(f"DESCRIBE FROM {view}")
        assert reader.execute("SELECT count(*) FROM base.checkpoints WHERE projection = 'mine'").fetchall() == [(0,)]


def test_a_file_that_comes_back_is_made_from_the_beginning(own: OwnFolder) -> None:
    own.write("mine", one_table("mine"))
    own.take_up()
    own.read()
    text = (own.folder / "mine.sql").read_text()
    (own.folder / "mine.sql").unlink()
    own.take_up()
    own.write("mine", text)
    own.take_up()
    assert own.rows("mine") == []
    own.read()
    assert own.rows("mine") == ENDED


FAILING = {
    "an error": "SELECT session_id, error('no such session')::INTEGER FROM events",
    "a key twice": "SELECT session_id, 1 FROM events UNION ALL SELECT session_id, 2 FROM events",
    "a value that is none": "SELECT session_id, session_id::INTEGER FROM events",
    "no end": ENDLESS,
    "a file that is gone": "SELECT session_id, 1 FROM events, read_csv('{gone}')",
}


@pytest.mark.parametrize("select", FAILING.values(), ids=FAILING)
def test_statements_that_fail_on_a_record_stop_only_their_own_file(own: OwnFolder, select: str) -> None:
    gone = own.folder / "prices.csv"
    gone.write_text("a\n1\n")
    schema = "CREATE TABLE mine (session_id VARCHAR PRIMARY KEY, number HUGEINT);"
    own.write("mine", one_table("mine", schema=schema, apply=f"INSERT INTO mine {select.format(gone=gone)};"))
    own.write("other", one_table("other"))
    assert own.take_up() == {}
    gone.unlink()
    (stopped,) = own.read()
    assert stopped.projection == "mine"
    assert str(stopped).startswith(f"{own.folder / 'mine.sql'}, line 8: ")
    assert (own.rows("mine"), own.rows("other"), len(own.rows("sessions"))) == ([], ENDED, 4)
    assert "mine" not in {checkpoint.build[0] for checkpoint in own.warehouse.checkpoints()}


def test_what_one_file_leaves_in_temporary_tables_is_in_nobodys_way(own: OwnFolder) -> None:
    apply = (
        "CREATE OR REPLACE TEMP TABLE mine AS SELECT session_id, 7 AS number FROM events; INSERT INTO first FROM mine;"
    )
    own.write("first", one_table("first", apply=apply))
    own.write("mine", one_table("mine"))
    assert own.take_up() == {}
    own.read(end=8)
    own.read(start=8)
    assert own.rows("mine") == ENDED
    assert own.rows("first") == [(session_id, 7) for session_id, _ in ENDED]


def test_a_file_sees_the_types_that_it_says_it_reads_and_no_others(own: OwnFolder) -> None:
    own.write("mine", one_table("mine", reads="events (TurnReceived), recordings (RecordingStored)"))
    own.take_up()
    own.read()
    assert own.rows("mine") == ENDED


def test_every_projection_that_ships_takes_the_place_of_none(own: OwnFolder) -> None:
    for name in PROJECTIONS:
        own.write(name, one_table(name))
    assert len(own.take_up()) == len(PROJECTIONS)
    own.read()
    assert len(own.rows("sessions")) == 4


def test_a_view_comes_after_those_that_it_stands_on_however_often_they_are_written(own: OwnFolder) -> None:
    own.write("aview", "-- name: view\nFROM zview")
    own.write("zview", "-- name: view\nSELECT count(*) AS calls FROM calls")
    for name in ("one", "two"):
        own.write(name, one_table(name))
        assert own.take_up() == {}
        with own.warehouse.snapshot() as reader:
            names = [name for (name,) in reader.execute("SELECT name FROM base.views ORDER BY place").fetchall()]
        assert names.index("calls") < names.index("zview") < names.index("aview")


def test_a_pipe_is_not_waited_for(own: OwnFolder) -> None:
    os.mkfifo(own.folder / "pipe.sql")
    assert "no file" in own.take_up()["pipe.sql"]


@pytest.mark.parametrize("name", ["select", "Refunds", "calls", "1st", "a-b"])
def test_a_name_that_no_table_can_have_is_not_written(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError):
        write_projection(name, tmp_path)
    assert not list(tmp_path.iterdir())


_PIECES = (
    "-- name: schema\n", "-- name: apply\n", "-- name: view\n", "-- name:\n", "-- reads: events (SessionEnded)\n",
    "-- reads: nothing (", "CREATE TABLE odd (a INTEGER);\n", "INSERT INTO odd SELECT 1;", "SELECT 1 AS a", "FROM odd",
    ";", "'", '"', "/*", "$$", "(", "\r\n", "\ufeff", "\0", "{reporting_timezone}", "PIVOT events ON type",
)  # fmt: skip


@given(text=st.lists(st.sampled_from(_PIECES) | st.text(max_size=8), max_size=8).map("".join))
@example(text="")
@example(text="SELECT 1")
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_a_file_has_it_is_used_or_refused(own: OwnFolder, text: str) -> None:
    own.write("odd", text.encode("utf-8", "surrogatepass"))
    refused = own.take_up()
    definitions = own.warehouse.definitions
    assert ("odd.sql" in refused) != ("odd" in {*definitions.projections, *definitions.views})
    assert set(PROJECTIONS) <= set(definitions.projections)
