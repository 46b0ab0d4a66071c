"""Are the secrets there that the sources and the model need? Their values are neither shown nor tried."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator

from postcall.doctor.findings import Finding, Patient, State
from postcall.errors import SettingsError
from postcall.settings import Configuration
from postcall.sources import SOURCE_MODULES, load_sources, source_module


async def check_secrets(patient: Patient) -> AsyncIterator[Finding]:
    """One line for each source, and one for the model."""
    for name, source in load_sources(patient.configuration).items():
        try:
            source.require_secrets()
        except SettingsError as error:
            # With one source its door is the only one.
            yield _found("failed" if len(SOURCE_MODULES) == 1 else "warning", str(error))
        else:
            yield _found("ok", f"Deliveries of {name} can be verified.")
        for env in _missing_keys(patient.configuration, name):
            yield _found("warning", f"{env} is not set: recordings of {name} may not be downloaded.")
    model = patient.settings.openai_model
    is_set = patient.settings.openai_api_key is not None
    yield _found("ok", f"OPENAI_API_KEY is {f'set: {model}' if is_set else 'not set: the local analyzer'} reads calls.")


def _missing_keys(configuration: Configuration, source: str) -> list[str]:
    """Secrets that the streams service would hold: the vendor's keys."""
    kind = source_module(source).Settings
    keys = {
        field.name
        for field in dataclasses.fields(kind)
        if field.metadata.get("secret") and "streams" in field.metadata["held_by"]
    }
    return [row.env for row in configuration.rows(kind) if row.name in keys and row.origin == "default"]


def _found(state: State, says: str) -> Finding:
    return Finding(check="secrets", state=state, says=says)
