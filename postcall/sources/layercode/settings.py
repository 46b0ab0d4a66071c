"""What postcall must be told about Layercode: where its API is, the key to it, and the webhook secrets.

Several secrets may hold at once, so that one can be replaced without a gap, and so that agents may share a URL.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from postcall.errors import SettingsError
from postcall.settings import Configuration, setting

SECRET_VARIABLE = "LAYERCODE_WEBHOOK_SECRET"  # noqa: S105 - the variable's name, not its value


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of this source."""

    api_key: str | None = setting(
        None,
        "key of Layercode's API, needed to download recordings",
        env="LAYERCODE_API_KEY",
        secret=True,
        held_by=("streams",),
    )
    api_url: str = setting("https://api.layercode.com/v1", "Layercode's API", env="LAYERCODE_API_URL")
    webhook_secret: tuple[str, ...] = setting(
        (),
        "webhook secrets from Layercode's dashboard, separated by commas; any of them is accepted",
        env=SECRET_VARIABLE,
        secret=True,
        held_by=("ingest",),
    )
    signature_tolerance_s: int = setting(300, "how far a signature's time may be from ours, in seconds")


@dataclass(frozen=True, kw_only=True, slots=True)
class Secrets:
    """The secrets that a delivery may be signed with: those for all agents, and those of single agents."""

    shared: tuple[bytes, ...] = field(default=(), repr=False)
    by_agent: Mapping[str, tuple[bytes, ...]] = field(default_factory=dict, repr=False)

    @property
    def is_empty(self) -> bool:
        """Whether nothing could ever be verified."""
        return not self.shared and not any(self.by_agent.values())

    def for_agent(self, agent_id: str | None) -> tuple[bytes, ...]:
        """The secrets for an agent named in the URL; without one, any agent's secret may be the right one."""
        if agent_id is not None:
            return self.shared + self.by_agent.get(agent_id, ())
        return self.shared + tuple(secret for secrets in self.by_agent.values() for secret in secrets)


def read_secrets(settings: Settings, configuration: Configuration) -> Secrets:
    """All secrets, from the setting and from `[agents.NAME] webhook_secret` in postcall.toml.

    :raises SettingsError: an agent's table is malformed, or its secret's variable is not set.
    """
    return Secrets(
        shared=_split(settings.webhook_secret),
        by_agent={name: _agent_secrets(name, table, configuration) for name, table in _agents(configuration).items()},
    )


def _agents(configuration: Configuration) -> Mapping[str, Any]:
    agents = configuration.document.get("agents", {})
    if not isinstance(agents, Mapping):
        raise SettingsError("postcall.toml: agents must be tables, as in [agents.NAME].")
    return agents


def _agent_secrets(name: str, table: Any, configuration: Configuration) -> tuple[bytes, ...]:
    reference = table.get("webhook_secret", "") if isinstance(table, Mapping) else None
    if not isinstance(reference, str):
        raise SettingsError(f'postcall.toml: [agents.{name}] webhook_secret must be a text, such as "env:NAME".')
    return _split(configuration.resolve(reference).replace(",", " ").split())


def _split(secrets: tuple[str, ...] | list[str]) -> tuple[bytes, ...]:
    return tuple(secret.strip().encode() for secret in secrets if secret.strip())
