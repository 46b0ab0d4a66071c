"""The vendors whose webhooks postcall reads, one module each."""

from __future__ import annotations

import logging
from importlib import import_module
from types import ModuleType

from postcall.errors import SettingsError
from postcall.settings import Configuration
from postcall.sources.base import Source

logger = logging.getLogger(__name__)

#: Each module has a settings dataclass `Settings` and a function `source(configuration: Configuration) -> Source`.
SOURCE_MODULES: dict[str, str] = {"layercode": "postcall.sources.layercode"}


def source_module(name: str) -> ModuleType:
    """The vendor's module.

    :raises SettingsError: no such vendor.
    """
    if name not in SOURCE_MODULES:
        known = ", ".join(sorted(SOURCE_MODULES))
        raise SettingsError(f"There is no source {name!r}; postcall reads: {known}.")
    return import_module(SOURCE_MODULES[name])


def load_sources(configuration: Configuration) -> dict[str, Source]:
    """Every vendor, by name, with its settings."""
    return {name: load_source(name, configuration) for name in SOURCE_MODULES}


def load_verifiable_sources(configuration: Configuration) -> dict[str, Source]:
    """The sources that have a secret; to one without the door stays shut, since anybody could post to it.

    :raises SettingsError: none has one; says what to set.
    """
    verifiable: dict[str, Source] = {}
    refusals: list[SettingsError] = []
    for name, source in load_sources(configuration).items():
        try:
            source.require_secrets()
        except SettingsError as error:
            refusals.append(error)
        else:
            verifiable[name] = source
    if not verifiable:
        raise refusals[0]
    for refusal in refusals:
        logger.warning("A source stays shut: %s", refusal, extra={"action": "shut"})
    return verifiable


def load_source(name: str, configuration: Configuration) -> Source:
    """One vendor with its settings."""
    source: Source = source_module(name).source(configuration)
    return source
