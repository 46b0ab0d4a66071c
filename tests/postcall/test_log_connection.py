"""What the security settings come to, and what is refused before any client is made."""

from __future__ import annotations

from pathlib import Path

import pytest

from postcall.errors import SettingsError
from postcall.log_connection import LogConnection
from postcall.settings import Configuration, Settings


def settings(**environment: str) -> Settings:
    return Configuration(environment=environment).read(Settings)


def test_the_embedded_log_is_spoken_to_plainly_whatever_is_set_for_a_kafka() -> None:
    log = settings(POSTCALL_KAFKA_SECURITY_PROTOCOL="SASL_SSL", POSTCALL_KAFKA_SASL_PASSWORD="secret").log
    assert log.client_options() == {"bootstrap_servers": "127.0.0.1:9092", "security_protocol": "PLAINTEXT"}


def test_user_and_password_reach_the_clients() -> None:
    options = settings(
        POSTCALL_KAFKA="a:9092,b:9092",
        POSTCALL_KAFKA_SECURITY_PROTOCOL="SASL_PLAINTEXT",
        POSTCALL_KAFKA_SASL_MECHANISM="SCRAM-SHA-256",
        POSTCALL_KAFKA_SASL_USERNAME="postcall",
        POSTCALL_KAFKA_SASL_PASSWORD="secret",
    ).log.client_options()
    assert options == {
        "bootstrap_servers": "a:9092,b:9092",
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": "SCRAM-SHA-256",
        "sasl_plain_username": "postcall",
        "sasl_plain_password": "secret",
    }


def test_an_encrypted_connection_checks_the_name_and_the_certificate() -> None:
    log = settings(POSTCALL_KAFKA="a:9093", POSTCALL_KAFKA_SECURITY_PROTOCOL="SSL").log
    context = log.client_options()["ssl_context"]
    assert (context.check_hostname, context.verify_mode.name) == (True, "CERT_REQUIRED")


def test_a_password_is_in_no_representation() -> None:
    log = settings(
        POSTCALL_KAFKA="a:9092",
        POSTCALL_KAFKA_SECURITY_PROTOCOL="SASL_SSL",
        POSTCALL_KAFKA_SASL_USERNAME="postcall",
        POSTCALL_KAFKA_SASL_PASSWORD="swordfish",
        POSTCALL_KAFKA_KEY_PASSWORD="swordfish",
    ).log
    assert "swordfish" not in f"{log} {log!r}"


@pytest.mark.parametrize(
    ("environment", "reason"),
    [
        ({"PROTOCOL": "TLS"}, "POSTCALL_KAFKA_SECURITY_PROTOCOL"),
        ({"PROTOCOL": "SASL_SSL"}, "POSTCALL_KAFKA_SASL_USERNAME"),
        ({"SASL_PASSWORD": "swordfish"}, "sends no password"),
        ({"CA_FILE": "ca.pem"}, "does not encrypt"),
        ({"PROTOCOL": "SSL", "KEY_FILE": "key.pem"}, "POSTCALL_KAFKA_CERTIFICATE_FILE"),
        ({"PROTOCOL": "SSL", "CA_FILE": "missing.pem"}, "missing.pem cannot be used"),
        ({"PROTOCOL": "SSL", "CERTIFICATE_FILE": "missing.pem"}, "missing.pem and its key cannot be used"),
    ],
)
def test_settings_that_do_not_fit_together_are_refused(environment: dict[str, str], reason: str) -> None:
    names = {"PROTOCOL": "SECURITY_PROTOCOL"}
    values = {f"POSTCALL_KAFKA_{names.get(name, name)}": value for name, value in environment.items()}
    with pytest.raises(SettingsError, match=reason) as refusal:
        settings(POSTCALL_KAFKA="a:9092", **values).log.client_options()
    assert "swordfish" not in str(refusal.value)


def test_a_file_that_is_no_certificate_is_named(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("not a certificate")
    with pytest.raises(SettingsError, match="cannot be used"):
        settings(
            POSTCALL_KAFKA="a:9092",
            POSTCALL_KAFKA_SECURITY_PROTOCOL="SSL",
            POSTCALL_KAFKA_CA_FILE=str(tmp_path / "ca.pem"),
        ).log.client_options()


@pytest.mark.parametrize(
    "servers", ["", ",", "a:9092,", "a:port", "a:9092:9093", "::1:9092", "https://a:9092", "a b:1"]
)
def test_what_is_no_address_is_refused(servers: str) -> None:
    with pytest.raises(SettingsError, match="is not host:port"):
        LogConnection(servers)


@pytest.mark.parametrize("servers", ["a", "a:9092", "a.example.com:9092, b:9093", "127.0.0.1:1", "[::1]:9092"])
def test_what_is_an_address_is_taken(servers: str) -> None:
    assert LogConnection(servers).client_options()["bootstrap_servers"] == servers
