"""Settings: declared once, read once at the edge.

A setting's value comes from the first that has one: flag > environment > `.env` > `postcall.toml` > default. A
string `env:NAME` in `postcall.toml` stands for the value of NAME, so the file can be shared. Child processes are
given the environment that `Configuration.environment_for` makes: only the secrets that they hold.
"""

from __future__ import annotations

import dataclasses
import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Literal, TypeVar, get_type_hints

import dotenv
from pydantic import TypeAdapter, ValidationError

from postcall.errors import SettingsError
from postcall.log_connection import LogConnection, LogSecurity, SaslMechanism, SecurityProtocol
from postcall.topic_settings import TopicSettings
from postcall.topics import MAX_BODY_BYTES

Service = Literal["broker", "ingest", "streams", "projections"]
T = TypeVar("T")

CONFIG_FILE = "POSTCALL_CONFIG"
ENV_FILE = "POSTCALL_ENV_FILE"


def setting(
    default: Any, meaning: str, *, env: str | None = None, secret: bool = False, held_by: tuple[Service, ...] = ()
) -> Any:
    """Declare a setting as a dataclass field.

    :param env: its environment name, if that is not `POSTCALL_` and the field's name.
    :param held_by: the only services that are given it; empty = all.
    """
    return dataclasses.field(
        default=default, metadata={"meaning": meaning, "env": env, "secret": secret, "held_by": held_by}
    )


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of postcall itself; each source and stage may declare more of its own."""

    data_dir: Path = setting(Path(".postcall/data"), "where everything is kept")
    host: str = setting("0.0.0.0", "address of the public door")  # noqa: S104 - vendors must reach it
    port: int = setting(8000, "port of the public door (0 = any free one)")
    private_host: str = setting("127.0.0.1", "address of SQL and metrics")
    private_port: int = setting(8001, "port of SQL and metrics (0 = any free one)")
    private_token: str | None = setting(
        None, "token for the private port; needed on any address but loopback", secret=True, held_by=("projections",)
    )
    streams_port: int | None = setting(
        None, "port on private_host for the health of streams (0 = any free one); none = not served"
    )
    kafka: str | None = setting(None, "bootstrap servers of Apache Kafka, host:port,…; none = the embedded log")
    kafka_security_protocol: SecurityProtocol = setting("PLAINTEXT", "PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL")
    kafka_sasl_mechanism: SaslMechanism = setting("SCRAM-SHA-512", "PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512")
    kafka_sasl_username: str | None = setting(None, "user name at Apache Kafka")
    kafka_sasl_password: str | None = setting(None, "password at Apache Kafka", secret=True)
    kafka_ca_file: Path | None = setting(
        None, "certificates (PEM) that may vouch for Apache Kafka; none = those that the system trusts"
    )
    kafka_certificate_file: Path | None = setting(None, "own certificate (PEM), where Apache Kafka asks for one (mTLS)")
    kafka_key_file: Path | None = setting(None, "its private key (PEM); none = it is in the certificate's file")
    kafka_key_password: str | None = setting(None, "password of the private key", secret=True)
    broker_port: int = setting(9092, "port of the embedded log (0 = any free one)")
    partitions: int = setting(4, "partitions of each topic that is keyed by session")
    replication_factor: int = setting(1, "replicas of each partition, on Apache Kafka")
    retention_days: float | None = setting(
        None, "records older than this may be dropped, on Apache Kafka; none = kept for ever; a rebuild reaches as far"
    )
    max_body_bytes: int = setting(MAX_BODY_BYTES, "largest delivery accepted, in bytes")
    log_level: str = setting("INFO", "DEBUG, INFO, WARNING or ERROR")
    log_format: Literal["text", "json"] = setting("text", "text or json")
    recording_concurrency: int = setting(8, "downloads at once")
    analysis_concurrency: int = setting(16, "model calls at once")
    openai_api_key: str | None = setting(
        None,
        "key of the model's API; none = the local analyzer",
        env="OPENAI_API_KEY",
        secret=True,
        held_by=("streams",),
    )
    openai_base_url: str = setting("https://api.openai.com/v1", "the model's API", env="OPENAI_BASE_URL")
    openai_model: str = setting("gpt-5-mini", "model of the built-in analyzers")
    daily_budget_usd: float | None = setting(None, "live analysis stops at this spend a day, in USD (UTC days)")
    reporting_timezone: str = setting("UTC", "time zone in which views cut days")

    @property
    def log(self) -> LogConnection:
        """How the log is reached: Apache Kafka, or the embedded log on this machine.

        :raises SettingsError: the security settings do not fit together.
        """
        return self.log_at(self.kafka or f"127.0.0.1:{self.broker_port}")

    def log_at(self, bootstrap_servers: str) -> LogConnection:
        """The log at another address; the security settings are Apache Kafka's, the embedded log has none.

        :raises SettingsError: the security settings do not fit together.
        """
        if self.kafka is None:
            return LogConnection(bootstrap_servers)
        security = LogSecurity(
            protocol=self.kafka_security_protocol,
            sasl_mechanism=self.kafka_sasl_mechanism,
            sasl_username=self.kafka_sasl_username,
            sasl_password=self.kafka_sasl_password,
            ca_file=self.kafka_ca_file,
            certificate_file=self.kafka_certificate_file,
            key_file=self.kafka_key_file,
            key_password=self.kafka_key_password,
        )
        return LogConnection(bootstrap_servers, security)

    @property
    def topics(self) -> TopicSettings:
        """What every topic is to be like; the embedded log has one replica and keeps everything.

        :raises SettingsError: a number makes no sense.
        """
        if self.kafka is None:
            return TopicSettings(partitions=self.partitions)
        return TopicSettings(
            partitions=self.partitions,
            replication_factor=self.replication_factor,
            retention_days=self.retention_days,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class SettingRow:
    """One setting as `postcall settings` shows it; `value` is masked if it is secret."""

    name: str
    env: str
    value: str
    origin: str
    meaning: str


class Configuration:
    """The layers that settings are read from."""

    def __init__(
        self,
        *,
        flags: Mapping[str, Any] | None = None,
        environment: Mapping[str, str] | None = None,
        env_file: Mapping[str, str] | None = None,
        document: Mapping[str, Any] | None = None,
    ) -> None:
        self._flags = {name: value for name, value in (flags or {}).items() if value is not None}
        self._environment = dict(environment or {})
        self._env_file = dict(env_file or {})
        self.document: Mapping[str, Any] = document or {}

    @classmethod
    def load(cls, *, environment: Mapping[str, str] | None = None, **flags: Any) -> Configuration:
        """Read `.env` and `postcall.toml` of the working directory, if they are there.

        :raises SettingsError: one of them cannot be read.
        """
        values = os.environ if environment is None else environment
        return cls(
            flags=flags,
            environment=values,
            env_file=_read_env_file(values.get(ENV_FILE, ".env")),
            document=_read_document(Path(values.get(CONFIG_FILE, "postcall.toml"))),
        )

    def read(self, kind: type[T]) -> T:
        """The settings declared by `kind`.

        :raises SettingsError: a value does not fit; says which, from where, and what is wrong.
        """
        hints = get_type_hints(kind)
        values: dict[str, Any] = {}
        for field in _declared(kind):
            raw, origin = self._look_up(field)
            if origin != "default":
                values[field.name] = _convert(field, hints[field.name], raw, origin)
        return kind(**values)

    def rows(self, kind: type[Any]) -> Iterator[SettingRow]:
        """Each setting of `kind` with its value and where that came from."""
        for field in _declared(kind):
            raw, origin = self._look_up(field)
            shown = "(none)" if raw is None or raw == () else str(raw)
            if field.metadata["secret"] and raw:
                shown = "(set)"
            yield SettingRow(
                name=field.name, env=_env_name(field), value=shown, origin=origin, meaning=field.metadata["meaning"]
            )

    def environment_for(self, service: Service, kinds: tuple[type[Any], ...]) -> dict[str, str]:
        """A child's environment: every value that is set here, less the secrets that `service` does not hold."""
        values = {**self._env_file, **self._environment, ENV_FILE: ""}
        fields = [field for kind in kinds for field in _declared(kind)]
        for field in fields:
            raw, origin = self._look_up(field)
            if origin != "default":
                values[_env_name(field)] = ",".join(raw) if isinstance(raw, tuple | list) else str(raw)
        for name in self._withheld_from(service, fields):
            values.pop(name, None)
        return values

    def resolve(self, value: str) -> str:
        """A string of `postcall.toml`, with `env:NAME` looked up.

        :raises SettingsError: NAME is not set.
        """
        if not value.startswith("env:"):
            return value
        name = value.removeprefix("env:")
        found = self._environment.get(name) or self._env_file.get(name)
        if not found:
            raise SettingsError(f"postcall.toml says {value!r}, but {name} is not set.")
        return found

    def _withheld_from(self, service: Service, fields: list[dataclasses.Field[Any]]) -> Iterator[str]:
        for field in fields:
            held_by = field.metadata["held_by"]
            if held_by and service not in held_by:
                yield _env_name(field)
                yield str(self.document.get(field.name, "")).removeprefix("env:")
        if service != "ingest":
            for agent in self.document.get("agents", {}).values():
                reference = str(agent.get("webhook_secret", ""))
                if reference.startswith("env:"):
                    yield reference.removeprefix("env:")

    def _look_up(self, field: dataclasses.Field[Any]) -> tuple[Any, str]:
        name, env = field.name, _env_name(field)
        if name in self._flags:
            return self._flags[name], "flag"
        for layer, origin in ((self._environment, "environment"), (self._env_file, ".env")):
            if layer.get(env):
                return layer[env], origin
        value = self.document.get(name)
        if value is None or self._is_withheld(field, value):
            return field.default, "default"
        return (self.resolve(value) if isinstance(value, str) else value), "postcall.toml"

    def _is_withheld(self, field: dataclasses.Field[Any], value: Any) -> bool:
        """Whether this is a child, and its parent kept a secret from it that the file refers to."""
        is_child = self._environment.get(ENV_FILE) == ""
        refers = isinstance(value, str) and value.startswith("env:")
        return is_child and refers and bool(field.metadata["held_by"]) and value[4:] not in self._environment


def all_settings() -> tuple[type[Any], ...]:
    """Every dataclass of settings: postcall's own, and those that sources and rooms hand in by entry point."""
    others = sorted(entry_points(group="postcall.settings"), key=lambda entry: entry.name)
    return (Settings, *(entry.load() for entry in others))


def _declared(kind: type[Any]) -> list[dataclasses.Field[Any]]:
    return [field for field in dataclasses.fields(kind) if "meaning" in field.metadata]


def _env_name(field: dataclasses.Field[Any]) -> str:
    return field.metadata["env"] or f"POSTCALL_{field.name.upper()}"


def _convert(field: dataclasses.Field[Any], hint: Any, raw: Any, origin: str) -> Any:
    if isinstance(raw, str) and isinstance(field.default, tuple):
        raw = [part for part in raw.replace(",", " ").split() if part]
    try:
        return TypeAdapter(hint).validate_python(raw)
    except ValidationError as error:
        shown = "its value" if field.metadata["secret"] else repr(raw)
        reason = error.errors(include_input=False)[0]["msg"]
        raise SettingsError(f"{_env_name(field)} ({field.name}, from {origin}): {shown}: {reason}.") from None


def _read_env_file(path: str) -> dict[str, str]:
    if not path or not Path(path).is_file():
        return {}
    return {name: value for name, value in dotenv.dotenv_values(path).items() if value is not None}


def _read_document(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"{path} cannot be read: {error}.") from error
