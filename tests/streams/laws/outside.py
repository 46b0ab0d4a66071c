"""What lies outside of a stage: a vendor, a model, or whatever a worker acts upon.

Each counts what it is asked for, by session, and can be told to hold what it is asked, to put a session off, or to be
in trouble.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections import Counter
from datetime import timedelta
from typing import Any, Final

from postcall.outcomes import Outcome
from postcall.requests import DownloadRecording
from streams.worker import Blame, Performed
from tests.faults.turnstile import Turnstile
from tests.streams.loopback import SeenRequest, read_request, response
from tests.streams.requests import deferred, stored
from tests.streams.test_recordings_worker import WAV

#: In place of a status: nobody listens.
UNREACHABLE: Final = 0
#: How long a session is put off.
PUT_OFF_S: Final = 4

_INSIGHT: Final[dict[str, Any]] = {
    "summary": "A visit was arranged.",
    "intent": "booking",
    "follow_ups": [],
    "customer_name": None,
    "sentiment": "neutral",
}


class Outside:
    """The ledger of it, and what it is told."""

    def __init__(self) -> None:
        #: When each session was asked for, by the wall clock.
        self.asked_at_s: dict[str, list[float]] = {}
        #: How often each session got what it asked for.
        self.served: Counter[str] = Counter()
        self.gate = Turnstile()
        #: Sessions that are asked to come back later, once.
        self.put_off: set[str] = set()
        #: The status that all get in place of an answer.
        self.trouble: int | None = None

    @property
    def asked(self) -> Counter[str]:
        """How often each session was asked for."""
        return Counter({session: len(moments) for session, moments in self.asked_at_s.items()})

    async def open(self) -> None:
        """Begin to answer."""

    async def close(self) -> None:
        """Answer no more."""

    async def break_down(self, trouble: int) -> None:
        """Answer all alike from now on, or not at all."""
        self.trouble = trouble

    async def recover(self) -> None:
        """Answer as before."""
        self.trouble = None

    async def _decide(self, session_id: str) -> int:
        """The status for a request; 200 = what it asks for."""
        self.asked_at_s.setdefault(session_id, []).append(time.time())
        await self.gate.go_through(session_id)
        if self.trouble is not None:
            return self.trouble
        if session_id in self.put_off:
            self.put_off.remove(session_id)
            return 503
        self.served[session_id] += 1
        return 200


class Ledger(Outside):
    """What a worker of a test acts upon."""

    async def answer(self, request: DownloadRecording, attempt: int) -> Outcome | Performed:
        """See `tests.streams.ledger_worker`."""
        status = await self._decide(request.session_id)
        if status == 200:
            return stored(request, attempt)
        later = deferred(request, attempt, wait=timedelta(seconds=PUT_OFF_S))
        is_common = self.trouble is not None
        return Performed(outcome=later, blame=Blame(reason="out of order", is_certain=True) if is_common else None)


class Server(Outside):
    """An HTTP server on loopback, which keeps its port while it is unreachable."""

    def __init__(self) -> None:
        super().__init__()
        self.port = 0
        self._server: asyncio.Server | None = None

    @property
    def origin(self) -> str:
        """`http://host:port`."""
        return f"http://127.0.0.1:{self.port}"

    async def open(self) -> None:
        """Listen."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Refuse connections."""
        if self._server is not None:
            self._server.close()

    async def break_down(self, trouble: int) -> None:
        """See above."""
        await super().break_down(trouble)
        if trouble == UNREACHABLE:
            await self.close()

    async def recover(self) -> None:
        """See above."""
        if self.trouble == UNREACHABLE:
            await self.open()
        await super().recover()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = await read_request(reader)
            status = await self._decide(self._session_of(request))
            body, kind = self._content(status)
            headers = {"Content-Type": kind, **({"Retry-After": str(PUT_OFF_S)} if self._is_put_off(status) else {})}
            writer.write(response(status, body, headers))
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def _is_put_off(self, status: int) -> bool:
        return status != 200 and self.trouble is None

    def _session_of(self, request: SeenRequest) -> str:
        raise NotImplementedError

    def _content(self, status: int) -> tuple[bytes, str]:
        raise NotImplementedError


class Vendor(Server):
    """Serves a recording for each session."""

    def url_of(self, session_id: str) -> str:
        """Where its recording is."""
        return f"{self.origin}/v1/recordings/{session_id}"

    def _session_of(self, request: SeenRequest) -> str:
        return request.path.rpartition("/")[2]

    def _content(self, status: int) -> tuple[bytes, str]:
        return (WAV if status == 200 else b""), "audio/wav"


class Model(Server):
    """Answers all transcripts alike; which session one is of is said in it."""

    @staticmethod
    def words_of(session_id: str) -> str:
        """What is said in a session."""
        return f"My boiler is leaking, this is call {session_id}!"

    def _session_of(self, request: SeenRequest) -> str:
        found = re.search(r"this is call ([\w-]+)!", json.loads(request.body)["messages"][-1]["content"])
        assert found is not None
        return found.group(1)

    def _content(self, status: int) -> tuple[bytes, str]:
        body: dict[str, Any] = {"error": {"message": "no", "code": None}}
        if status == 200:
            message = {"role": "assistant", "content": json.dumps(_INSIGHT), "refusal": None}
            choice = {"index": 0, "finish_reason": "stop", "message": message}
            body = {"id": "c1", "object": "chat.completion", "created": 1, "model": "gpt-5-mini", "choices": [choice]}
        return json.dumps(body).encode(), "application/json"
