"""The vendors whose webhooks postcall reads, one module each."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from postcall.errors import SettingsError
from postcall.settings import Configuration
from postcall.sources.base import Source

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


def load_source(name: str, configuration: Configuration) -> Source:
    """One vendor with its settings."""
    source: Source = source_module(name).source(configuration)
    return source
