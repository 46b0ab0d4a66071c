"""What can go wrong while simulating a vendor."""

from __future__ import annotations

from postcall.errors import PostcallError


class SimulatorError(PostcallError):
    """The simulated vendor could not go on."""


class BrokenScript(SimulatorError):
    """A dialogue in the scripts folder cannot be read."""


class IngestUnreachable(SimulatorError):
    """The ingest URL has accepted nothing for too long."""
