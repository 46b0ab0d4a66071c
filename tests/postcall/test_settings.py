"""Settings: the first layer that has a value wins, and secrets reach only those who hold them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from postcall.errors import SettingsError
from postcall.settings import Configuration, Settings, setting


@dataclass(frozen=True, kw_only=True)
class VendorSettings:
    secrets: tuple[str, ...] = setting((), "webhook secrets", env="VENDOR_SECRET", secret=True, held_by=("ingest",))
    api_key: str | None = setting(None, "key", env="VENDOR_KEY", secret=True, held_by=("streams",))


LAYERS = [
    ({"port": 1}, {"POSTCALL_PORT": "2"}, {"POSTCALL_PORT": "3"}, {"port": 4}, 1, "flag"),
    ({"port": None}, {"POSTCALL_PORT": "2"}, {"POSTCALL_PORT": "3"}, {"port": 4}, 2, "environment"),
    ({}, {"POSTCALL_PORT": ""}, {"POSTCALL_PORT": "3"}, {"port": 4}, 3, ".env"),
    ({}, {}, {}, {"port": 4}, 4, "postcall.toml"),
    ({}, {}, {}, {}, 8000, "default"),
]


@pytest.mark.parametrize(("flags", "environment", "env_file", "document", "port", "origin"), LAYERS)
def test_the_first_layer_that_has_a_value_wins(
    flags: dict[str, int],
    environment: dict[str, str],
    env_file: dict[str, str],
    document: dict[str, int],
    port: int,
    origin: str,
) -> None:
    configuration = Configuration(flags=flags, environment=environment, env_file=env_file, document=document)
    assert configuration.read(Settings).port == port
    shown = next(row for row in configuration.rows(Settings) if row.name == "port")
    assert (shown.value, shown.origin) == (str(port), origin)


def test_files_of_the_working_directory_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("postcall.toml").write_text('partitions = 12\nprivate_token = "env:MY_TOKEN"\n')
    Path(".env").write_text("MY_TOKEN=hush\n")
    settings = Configuration.load(environment={}).read(Settings)
    assert (settings.partitions, settings.private_token) == (12, "hush")


def test_a_list_may_be_written_with_commas_or_blanks() -> None:
    configuration = Configuration(environment={"VENDOR_SECRET": "one, two three"})
    assert configuration.read(VendorSettings).secrets == ("one", "two", "three")


def test_a_wrong_value_names_the_setting_and_its_layer() -> None:
    with pytest.raises(SettingsError, match=r"POSTCALL_PORT \(port, from environment\): 'lots'"):
        Configuration(environment={"POSTCALL_PORT": "lots"}).read(Settings)


def test_a_reference_to_nothing_says_so() -> None:
    with pytest.raises(SettingsError, match="NO_SUCH is not set"):
        Configuration(document={"kafka": "env:NO_SUCH"}).read(Settings)


def test_a_broken_postcall_toml_is_a_clear_error(tmp_path: Path) -> None:
    broken = tmp_path / "postcall.toml"
    broken.write_text("port = = 1")
    with pytest.raises(SettingsError, match="cannot be read"):
        Configuration.load(environment={"POSTCALL_CONFIG": str(broken)})


def test_secrets_are_masked() -> None:
    rows = Configuration(environment={"VENDOR_KEY": "hush"}).rows(VendorSettings)
    assert {row.name: row.value for row in rows} == {"secrets": "(none)", "api_key": "(set)"}


def test_a_child_is_given_only_the_secrets_that_it_holds() -> None:
    configuration = Configuration(
        flags={"port": 0},
        environment={"PATH": "/bin", "VENDOR_KEY": "key", "ACME": "acme secret"},
        env_file={"VENDOR_SECRET": "a,b"},
        document={"agents": {"acme": {"webhook_secret": "env:ACME"}}, "partitions": 2},
    )
    ingest = configuration.environment_for("ingest", (Settings, VendorSettings))
    streams = configuration.environment_for("streams", (Settings, VendorSettings))
    projections = configuration.environment_for("projections", (Settings, VendorSettings))
    assert (ingest["VENDOR_SECRET"], ingest["ACME"], "VENDOR_KEY" in ingest) == ("a,b", "acme secret", False)
    assert (streams["VENDOR_KEY"], "VENDOR_SECRET" in streams, "ACME" in streams) == ("key", False, False)
    assert not {"VENDOR_KEY", "VENDOR_SECRET", "ACME"} & set(projections)
    for child in (ingest, streams, projections):
        assert Configuration.load(environment=child).read(Settings).port == 0
        assert child["POSTCALL_PARTITIONS"] == "2"
        assert child["PATH"] == "/bin"


def test_a_secret_that_the_file_refers_to_is_withheld_as_well() -> None:
    layers = {"document": {"api_key": "env:MY_KEY"}}
    parent = Configuration(environment={"MY_KEY": "hush"}, **layers)
    streams, ingest = (parent.environment_for(service, (Settings, VendorSettings)) for service in ("streams", "ingest"))
    assert Configuration(environment=streams, **layers).read(VendorSettings).api_key == "hush"
    assert "hush" not in ingest.values()
    assert Configuration(environment=ingest, **layers).read(VendorSettings).api_key is None
    with pytest.raises(SettingsError, match="MY_KEY is not set"):
        Configuration(environment={}, **layers).environment_for("ingest", (Settings, VendorSettings))
