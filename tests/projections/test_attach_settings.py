"""Where and whether a copy is served to other DuckDBs, and how people learn of it."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import duckdb
import pytest
from typer.testing import CliRunner

from postcall.errors import UsageError
from postcall.settings import Settings
from projections.attaching.address import Address, find_address, published
from projections.attaching.commands import commands
from projections.attaching.errors import ExtensionsMissing
from projections.attaching.server import serve_attach
from projections.settings import CopySettings
from tests.projections.attach_copy import skip_without_extensions

skip_without_extensions()


def test_nothing_is_served_unless_a_port_is_set(tmp_path: Path) -> None:
    with serve_attach(Settings(data_dir=tmp_path), CopySettings()) as keeper:
        assert keeper is None
        assert find_address(tmp_path) is None


@pytest.mark.parametrize(
    ("host", "token", "reason"),
    [("0.0.0.0", None, "POSTCALL_PRIVATE_TOKEN must be set"), ("127.0.0.1", "abc", "4 characters")],  # noqa: S104 - refused
)
def test_service_does_not_start_without_a_token_that_fits(
    tmp_path: Path, host: str, token: str | None, reason: str
) -> None:
    settings = Settings(data_dir=tmp_path, private_host=host, private_token=token)
    service = serve_attach(settings, CopySettings(attach_port=0))
    with pytest.raises(UsageError, match=reason), service:
        pass


def test_service_does_not_share_a_port(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        service = serve_attach(Settings(data_dir=tmp_path), CopySettings(attach_port=taken.getsockname()[1]))
        with pytest.raises(UsageError, match="another process has it"), service:
            pass


def test_service_says_which_extension_does_not_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed = duckdb.__version__
    monkeypatch.setattr(duckdb, "__version__", "1.5.99")
    service = serve_attach(Settings(data_dir=tmp_path), CopySettings(attach_port=0))
    with pytest.raises(ExtensionsMissing, match=f"for v{installed}, and DuckDB is v1.5.99"), service:
        pass


def test_command_prints_the_statement(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("POSTCALL_PRIVATE_TOKEN", raising=False)
    monkeypatch.setenv("POSTCALL_ENV_FILE", "")
    arguments = ["--data-dir", str(tmp_path)]
    with published(tmp_path, Address(host="::1", port=9494, made_token="it's mine")):
        assert (tmp_path / "attach.json").stat().st_mode & 0o077 == 0
        printed = CliRunner().invoke(commands, arguments).stdout
        assert printed == "ATTACH 'quack:[::1]:9494' AS postcall (TOKEN 'it''s mine');\n"
        printed = CliRunner().invoke(commands, [*arguments, "--json"]).stdout
        assert json.loads(printed) == {"uri": "quack:[::1]:9494", "token": "it's mine"}
    # The token that was set for the service is written down nowhere.
    with published(tmp_path, Address(host="127.0.0.1", port=9494)):
        assert CliRunner().invoke(commands, arguments).exit_code == 1
        monkeypatch.setenv("POSTCALL_PRIVATE_TOKEN", "set")
        assert "(TOKEN 'set')" in CliRunner().invoke(commands, arguments).stdout
    assert CliRunner().invoke(commands, arguments).exit_code == 1
