"""The whole way: from the log by the service into the copy, and from there into another DuckDB, as the page says."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from projections.attaching.address import find_address
from tests.projections.attach_client import start_client
from tests.projections.attach_copy import skip_without_extensions
from tests.projections.conftest import Service, fill_log
from tests.waiting import eventually

skip_without_extensions()

_PAGE = Path(__file__).parents[2] / "docs" / "attach.md"
_CALLS = 3


async def test_attach_serves_what_the_log_holds(
    log_address: str,
    tmp_path: Path,
    start_service: Callable[[str, Path], Service],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("POSTCALL_ATTACH_PORT", "0")
    monkeypatch.setenv("POSTCALL_ANALYTICS_COPY_INTERVAL_S", "0.2")
    data_dir = tmp_path / "data"
    await fill_log(log_address, range(_CALLS))
    service = start_service(log_address, data_dir)
    await eventually(lambda: find_address(data_dir) is not None, timeout_s=60)
    address = find_address(data_dir)
    assert address is not None
    assert address.made_token is not None
    with start_client() as client:
        await eventually(lambda: client.attach(address.uri, address.made_token or "") is None, timeout_s=60)
        await eventually(
            lambda: client.ask("SELECT count(*) FROM postcall.calls").get("rows") == [[_CALLS]], timeout_s=60
        )
        attach, *questions = _statements_of_the_page()
        assert attach.startswith("ATTACH 'quack:127.0.0.1:")
        for question in questions:
            client.run(question)
        assert "Authorization failed" in client.error_of("FROM postcall.query('SELECT 42')")
    service.kill()
    # Nobody is left to listen: the attach's process ends with the service that started it.
    with start_client() as client:
        await eventually(lambda: "Could not connect" in (client.attach(address.uri, "any-token") or ""), timeout_s=60)


def _statements_of_the_page() -> list[str]:
    blocks = re.findall(r"```sql\n(.*?)```", _PAGE.read_text("utf-8"), flags=re.DOTALL)
    return [statement.strip() for block in blocks for statement in block.split(";") if statement.strip()]
