"""`postcall simulate`, from the command to its summary."""

from __future__ import annotations

import json
import socket

import pytest
from typer.testing import CliRunner

from postcall.errors import UsageError
from postcall.simulator.commands import commands
from postcall.simulator.play import Outcome, play_vendor, print_summary
from tests.simulator.conftest import SECRET, Door


async def play(door: Door, *, secret: str = SECRET, port: int = 0) -> Outcome:
    return await play_vendor(
        ingest_url=door.url, secret=secret, api_key="key", calls=5, seed=1, rate_per_s=None, port=port, linger_s=0
    )


async def test_a_performance_comes_to_what_was_expected(door: Door, capsys: pytest.CaptureFixture[str]) -> None:
    outcome = await play(door)
    assert outcome.accepted == outcome.expected.webhooks == len(door.accepted)
    assert outcome.refused == 0
    capsys.readouterr()
    print_summary(outcome, as_json=True)
    summary = json.loads(capsys.readouterr().out)
    assert (summary["calls"], summary["webhooks"], summary["accepted"]) == (5, outcome.accepted, outcome.accepted)


async def test_a_taken_port_is_a_usage_error(door: Door) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(UsageError, match="choose another port"):
        await play(door, port=taken.getsockname()[1])


def test_the_command_asks_for_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LAYERCODE_WEBHOOK_SECRET", raising=False)
    result = CliRunner().invoke(commands, ["--ingest", "http://127.0.0.1:9/", "--port", "0"])
    assert isinstance(result.exception, UsageError)
    assert "LAYERCODE_WEBHOOK_SECRET" in str(result.exception)
