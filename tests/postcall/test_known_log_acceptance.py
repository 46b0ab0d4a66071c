"""Being held, and what an acceptance is good for."""

from __future__ import annotations

import json
import logging
import os
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from postcall.cli import build_cli
from postcall.known_log.acceptance import read_acceptance, read_held
from postcall.known_log.comparison import Finding, find_contradictions
from postcall.known_log.hold import Hold
from postcall.known_log.identity import LogIdentity
from tests.postcall.test_known_log_comparison import a_log, remembered

LOST = remembered(5)


class Reader:
    """A reader with one position, which looks at logs."""

    def __init__(self, data_dir: Path, name: str = "normalize-0") -> None:
        self.told: list[str] = []
        self._hold = Hold(name, data_dir=data_dir, on_held=self.told.append)

    def looks(self, log: LogIdentity, *, witness: str | None = None, next_offset: int = 5, **position: Any) -> bool:
        return self._hold.passes(log, find(log, witness=witness, next_offset=next_offset, **position))


def find(log: LogIdentity, *, witness: str | None, next_offset: int, **position: Any) -> list[Finding]:
    witnesses = {} if witness is None else {("postcall.webhooks", 0): witness}
    return find_contradictions([remembered(next_offset, **position)], log, witnesses)


def accept(data_dir: Path, *more: str) -> str:
    result = CliRunner().invoke(build_cli(), ["log", "accept", "--data-dir", str(data_dir), *more])
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.parametrize(
    ("seen", "witness"),
    [
        (a_log((6, 9)), None),
        (a_log((0, 3)), None),
        (a_log((0, 9)), "x"),
        (a_log((0, 9), cluster_id="d"), "w"),
        (a_log((0, 9), topic_id="u"), "x"),
        (a_log((0, 9), (0, 0)), "w"),
    ],
)
def test_a_reader_is_held_until_exactly_what_it_sees_is_accepted(
    tmp_path: Path, seen: LogIdentity, witness: str | None
) -> None:
    reader = Reader(tmp_path)
    assert not reader.looks(seen, witness=witness)
    accept(tmp_path, "--yes")
    assert reader.looks(seen, witness=witness)
    assert read_held(tmp_path) == []


def test_nothing_holds_a_reader_of_the_log_that_it_knows(tmp_path: Path) -> None:
    reader = Reader(tmp_path)
    assert reader.looks(a_log((0, 9)), witness="w")
    assert (reader.told, list(tmp_path.iterdir())) == ([], [])


@pytest.mark.parametrize(
    ("accepted", "later", "next_offset"),
    [
        (a_log((6, 9)), a_log((7, 9)), 5),  # more was lost since
        (a_log((6, 9)), a_log((8, 9)), 7),  # it went on, and then lost again
        (a_log((6, 9)), a_log((6, 9), cluster_id="d"), 5),
        (a_log((0, 3)), a_log((0, 2)), 5),  # shorter still
        (a_log((0, 3)), a_log((0, 3)), 4),  # read on, and then restored again
        (a_log((0, 4), topic_id="u"), a_log((0, 4), topic_id="v"), 5),
        (a_log((0, 4), (0, 0)), a_log((0, 4), (0, 0), (0, 0)), 4),
    ],
)
def test_an_acceptance_is_not_good_for_the_next_mismatch(
    tmp_path: Path, accepted: LogIdentity, later: LogIdentity, next_offset: int
) -> None:
    reader = Reader(tmp_path)
    assert not reader.looks(accepted)
    accept(tmp_path, "--yes")
    assert not reader.looks(later, next_offset=next_offset)


def test_a_reader_that_grew_while_it_was_accepted_goes_on(tmp_path: Path) -> None:
    reader = Reader(tmp_path)
    assert not reader.looks(a_log((0, 3)))
    accept(tmp_path, "--yes")
    assert reader.looks(a_log((0, 4)))
    assert not reader.looks(a_log((0, 8)), witness="x", next_offset=6)


@pytest.mark.parametrize("topic_id", ["t", "u"])
def test_a_partition_that_is_gone_can_be_accepted(tmp_path: Path, topic_id: str) -> None:
    reader, seen = Reader(tmp_path), a_log((0, 9), topic_id=topic_id)
    assert not reader.looks(seen, partition=1)
    accept(tmp_path, "--yes")
    assert reader.looks(seen, partition=1)


def test_other_ids_are_accepted_for_whoever_remembers_the_log_before(tmp_path: Path) -> None:
    seen = a_log((0, 9), cluster_id="d")
    assert not Reader(tmp_path, "normalize-0").looks(seen, witness="w")
    accept(tmp_path, "--yes")
    assert Reader(tmp_path, "normalize-1").looks(seen, witness="w", next_offset=3)


def test_lost_records_are_accepted_for_one_reader(tmp_path: Path) -> None:
    assert not Reader(tmp_path, "normalize-0").looks(a_log((6, 9)))
    accept(tmp_path, "--yes")
    assert not Reader(tmp_path, "plan-0").looks(a_log((6, 9)))


def test_a_held_reader_says_so_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    reader = Reader(tmp_path)
    with caplog.at_level(logging.ERROR):
        for end in range(9, 14):
            assert not reader.looks(a_log((0, end)), witness="x")
    assert len(reader.told) == 1
    assert "postcall log accept" in reader.told[0]
    assert len(caplog.records) == 2
    assert vars(caplog.records[0])["count"] == 4


def test_partitions_with_the_same_finding_share_a_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    log = a_log((0, 3), (0, 3), (6, 9))
    memories = [remembered(5, partition=number, partition_count=3) for number in range(3)]
    with caplog.at_level(logging.ERROR):
        assert not Hold("plan-0", data_dir=tmp_path, on_held=lambda _: None).passes(
            log, find_contradictions(memories, log, {})
        )
    kinds = [(record.__dict__.get("kind"), record.__dict__.get("findings")) for record in caplog.records]
    assert kinds == [("made_anew", 2), ("records_lost", 1), (None, None)]


def test_accept_prints_first_what_it_would_mean(tmp_path: Path) -> None:
    Reader(tmp_path).looks(a_log((6, 9)))
    Reader(tmp_path, "projections").looks(a_log((0, 3)))
    facts = json.loads(accept(tmp_path, "--yes", "--json").partition("\nAccepted")[0])
    assert [(each["reader"], each["findings"][0]["kind"]) for each in facts] == [
        ("normalize-0", "records_lost"),
        ("projections", "made_anew"),
    ]
    assert "kept aside" in facts[1]["once_accepted"]
    output = accept(tmp_path, "--yes")
    assert "postcall.webhooks" in output
    assert "lost records stay unread" in output


def test_accept_asks_and_where_nobody_can_be_asked_wants_yes(tmp_path: Path) -> None:
    Reader(tmp_path).looks(a_log((6, 9)))
    result = CliRunner().invoke(build_cli(), ["log", "accept", "--data-dir", str(tmp_path)])
    assert "--yes" in str(result.exception)
    assert read_acceptance(tmp_path) is None


def test_accept_says_when_nobody_stands_still(tmp_path: Path) -> None:
    reader = Reader(tmp_path)
    reader.looks(a_log((6, 9)))
    # A reader that was killed while it was held.
    file = tmp_path / "held" / "normalize-0.json"
    os.utime(file, (0, time.time() - 3600))
    assert "No reader" in accept(tmp_path, "--yes")
    assert read_acceptance(tmp_path) is None
