"""Layercode as a source: the protocol's methods, each handed to the module that knows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import cached_property

from postcall.deliveries import RawDelivery
from postcall.errors import SettingsError
from postcall.events import DomainEvent
from postcall.requests import DownloadRecording
from postcall.settings import Configuration
from postcall.sources.base import Identity, KeyProbe, RecordingAccess, Reply
from postcall.sources.layercode.bodies import identify_body
from postcall.sources.layercode.errors import SecretMissing
from postcall.sources.layercode.normalize import normalize_delivery
from postcall.sources.layercode.recordings import access_recording, read_api_origin
from postcall.sources.layercode.replies import reply_to
from postcall.sources.layercode.settings import SECRET_VARIABLE, Secrets, Settings, read_secrets
from postcall.sources.layercode.signature import HEADER, check_signature


class Layercode:
    """A `postcall.sources.base.Source`. Secrets are looked up when first needed: only the door holds them."""

    name = "layercode"

    def __init__(self, settings: Settings, *, read_secrets: Callable[[], Secrets]) -> None:
        self._settings = settings
        self._read_secrets = read_secrets
        self._api_origin = read_api_origin(settings)

    @cached_property
    def _secrets(self) -> Secrets:
        return self._read_secrets()

    def require_secrets(self) -> None:
        """See the protocol."""
        if self._secrets.is_empty:
            raise SettingsError(
                f"{SECRET_VARIABLE} is not set, so no delivery of Layercode could be verified. Copy the webhook "
                "secret of your agent from Layercode's dashboard; docs/connect-layercode.md shows where it is."
            )

    def verify(self, body: bytes, headers: Mapping[str, str], *, agent_id: str | None, now: datetime) -> datetime:
        """See the protocol."""
        secrets = self._secrets.for_agent(agent_id)
        if not secrets:
            raise SecretMissing
        tolerance_s = self._settings.signature_tolerance_s
        return check_signature(headers.get(HEADER), body, secrets, now=now, tolerance_s=tolerance_s)

    def identify(self, body: bytes) -> Identity:
        """See the protocol."""
        return identify_body(body)

    def reply(self, body: bytes, identity: Identity) -> Reply:
        """See the protocol."""
        return reply_to(body, identity)

    def normalize(self, delivery: RawDelivery) -> Sequence[DomainEvent]:
        """See the protocol."""
        return normalize_delivery(delivery)

    def key_probe(self) -> KeyProbe | None:
        """See the protocol."""
        key = self._settings.api_key
        if key is None:
            return None
        return KeyProbe(url=f"{self._settings.api_url.rstrip('/')}/agents", headers={"Authorization": f"Bearer {key}"})

    def recording_access(self, request: DownloadRecording) -> RecordingAccess:
        """See the protocol."""
        return access_recording(request, self._settings, api_origin=self._api_origin)


def source(configuration: Configuration) -> Layercode:
    """Layercode with the settings that it is given.

    :raises SettingsError: one of them cannot be used.
    """
    settings = configuration.read(Settings)
    return Layercode(settings, read_secrets=lambda: read_secrets(settings, configuration))
