"""Requests: work derived from events, in the imperative. The same work always has the same id."""

from __future__ import annotations

from typing import Annotated, ClassVar, Final, Literal
from uuid import UUID

from pydantic import Field

from postcall.messages import SessionMessage, derive_id
from postcall.topics import ANALYSIS_REQUESTS, RECORDING_REQUESTS, Topic

#: As the column of the warehouse holds it.
_LARGEST_REVISION: Final = 2**31 - 1

Trigger = Literal["live", "replay", "manual"]


class Request(SessionMessage):
    """What all requests share: an id made of type, session and work key."""

    @property
    def work_key(self) -> str:
        """What tells this work from other work of the same type for the same session."""
        raise NotImplementedError

    @property
    def request_id(self) -> UUID:
        """The id under which this work is done once."""
        return derive_id(type(self).__name__, self.session_id, self.work_key)

    def identity(self, source: str) -> UUID:  # noqa: ARG002 - who asked is no part of what is asked
        """The request id."""
        return self.request_id


class DownloadRecording(Request):
    """Download the recording that a vendor has ready."""

    topic: ClassVar[Topic] = RECORDING_REQUESTS

    vendor: str
    agent_id: str | None = None
    url: str

    @property
    def work_key(self) -> str:
        """The URL."""
        return self.url


class AnalyzeSession(Request):
    """Give a transcript to one revision of one analyzer."""

    topic: ClassVar[Topic] = ANALYSIS_REQUESTS

    analyzer: str
    revision: Annotated[int, Field(ge=1, le=_LARGEST_REVISION)]
    #: The canonical JSON that the analyzer receives, as text, and its SHA-256.
    input: str
    input_hash: str
    trigger: Trigger = "live"
    #: The call's time, ISO 8601 in UTC, for the insight's `occurred_at`.
    occurred_at: str | None = None

    @property
    def work_key(self) -> str:
        """Analyzer, revision and input: an analysis is paid for once."""
        return f"{self.analyzer}@{self.revision}/{self.input_hash}"
