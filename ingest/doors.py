"""Which sources this door opens for: those whose deliveries it can verify."""

from __future__ import annotations

import logging

from postcall.errors import SettingsError
from postcall.settings import Configuration
from postcall.sources import load_sources
from postcall.sources.base import Source

logger = logging.getLogger(__name__)


def load_doors(configuration: Configuration) -> dict[str, Source]:
    """The sources that have a secret; one without stays shut, since anybody could post to it.

    :raises SettingsError: none has one; says what to set.
    """
    doors: dict[str, Source] = {}
    refusals: list[SettingsError] = []
    for name, source in load_sources(configuration).items():
        try:
            source.require_secrets()
        except SettingsError as error:
            refusals.append(error)
        else:
            doors[name] = source
    if not doors:
        raise refusals[0]
    for refusal in refusals:
        logger.warning("A source stays shut: %s", refusal, extra={"action": "shut"})
    return doors
