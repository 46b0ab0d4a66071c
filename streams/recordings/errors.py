"""Why a download did not succeed, in words for a person; none of these is a failure of postcall."""

from __future__ import annotations

from postcall.errors import PostcallError


class DownloadError(PostcallError):
    """The recording was not downloaded."""


class RecordingUnobtainable(DownloadError):
    """Trying again would not help."""


class NotYet(DownloadError):
    """It may be had later."""

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class ServerTroubled(NotYet):
    """The server does not do what it should; other recordings may have the same trouble."""


class VendorUnreachable(ServerTroubled):
    """Nothing listens at the vendor's own address; no recording can be had."""


class KeyRefused(RecordingUnobtainable):
    """The vendor refused the request."""


class HopRefused(RecordingUnobtainable):
    """The URL, or one that it was redirected to, is none that postcall connects to."""
