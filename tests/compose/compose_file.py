"""docker-compose.yml and its neighbours as Compose reads them, as far as this project uses them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
COMPOSE_FILE = ROOT / "docker-compose.yml"
WORKFLOW_FILE = ROOT / ".github" / "workflows" / "ci.yml"
ENV_EXAMPLE = ROOT / "compose.env.example"

#: `${NAME}`, `${NAME:-default}` and `${NAME:?message}`.
VARIABLE = re.compile(r"\$\{(\w+)(?::([-?])([^}]*))?\}")
#: A line of the example that sets a variable; or, behind a #, shows how.
_EXAMPLE_LINE = re.compile(r"^(#?)([A-Z][A-Z0-9_]*)=(.*)$", re.MULTILINE)


class VariableNeeded(Exception):
    """The file needs a variable that is not set."""


@dataclass(frozen=True, kw_only=True)
class Service:
    """A service, interpolated."""

    name: str
    image: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    healthcheck: tuple[str, ...]
    stop_grace_s: float
    document: Mapping[str, Any]

    def names(self, key: str) -> Sequence[str]:
        """A list of strings of the service, as `ports`; empty where there is none."""
        return [str(each) for each in self.document.get(key, ())]


def read_yaml(text: str) -> dict[str, Any]:
    """A YAML document; anchors and merges are resolved."""
    document: dict[str, Any] = YAML(typ="safe", pure=True).load(text)
    return document


def read_services(variables: Mapping[str, str]) -> dict[str, Service]:
    """The services, with these variables and no others.

    :raises VariableNeeded: one that the file needs is missing.
    """
    document = interpolate(read_yaml(COMPOSE_FILE.read_text("utf-8")), variables)
    return {name: _service(name, service) for name, service in document["services"].items()}


def interpolate(value: Any, variables: Mapping[str, str]) -> Any:
    """The value with every variable replaced, as Compose does.

    :raises VariableNeeded: one is missing.
    """
    if isinstance(value, dict):
        return {key: interpolate(each, variables) for key, each in value.items()}
    if isinstance(value, list):
        return [interpolate(each, variables) for each in value]
    return VARIABLE.sub(lambda found: _value_of(found, variables), value) if isinstance(value, str) else value


def example_variables() -> set[str]:
    """The variables that the example names, set or commented out."""
    return {name for _, name, _ in _example_lines()}


def example_values() -> dict[str, str]:
    """The values that somebody has who copied the example and left it as it is."""
    return {name: value for sign, name, value in _example_lines() if not sign}


def _example_lines() -> list[tuple[str, str, str]]:
    return _EXAMPLE_LINE.findall(ENV_EXAMPLE.read_text("utf-8"))


def _value_of(found: re.Match[str], variables: Mapping[str, str]) -> str:
    name, operator, word = found.groups()
    if value := variables.get(name):
        return value
    if operator == "?":
        raise VariableNeeded(f"{name}: {word}")
    return word or ""


def _service(name: str, document: dict[str, Any]) -> Service:
    return Service(
        name=name,
        image=document["image"],
        command=tuple(document.get("command", ())),
        environment=document.get("environment", {}),
        healthcheck=tuple(document["healthcheck"]["test"]),
        stop_grace_s=seconds(document["stop_grace_period"]),
        document=document,
    )


def seconds(duration: str) -> float:
    """A duration such as `30s`."""
    assert duration.endswith("s"), duration
    return float(duration.removesuffix("s"))
