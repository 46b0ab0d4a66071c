"""The contract of slow work: what a stage needs to know of downloads and model calls, and nothing more."""

from __future__ import annotations

from typing import Protocol, TypeVar

from postcall.outcomes import Outcome
from postcall.requests import Request
from postcall.topics import Topic

R_contra = TypeVar("R_contra", bound=Request, contravariant=True)


class Worker(Protocol[R_contra]):
    """One kind of slow work. The slow stage files its requests, calls it, and appends what it answers.

    The stage may call `perform` for several requests at once (up to `concurrency`), never twice at once for the same
    request, and again for a request whose outcome a crash kept from the log: doing the same request twice must be
    harmless, and as cheap as the work allows.
    """

    #: Names the consumer group, the work index and the logs: `recordings`, `insights`.
    @property
    def stage(self) -> str: ...

    #: Where the requests lie.
    @property
    def requests(self) -> Topic: ...

    #: Where the outcomes go.
    @property
    def outcomes(self) -> Topic: ...

    #: How many requests may be under way at once.
    @property
    def concurrency(self) -> int: ...

    async def open(self) -> None:
        """Make ready; called once, in the event loop that `perform` will run in, before any work.

        :raises PostcallError: a setting or a directory is wrong, in words for the operator: the stage does not start.
        """

    async def close(self) -> None:
        """Let go of what `open` took. `perform` is no longer running."""

    async def perform(self, request: R_contra, *, attempt: int) -> Outcome:
        """Do the work once, and say what became of it: a final outcome or a `…Deferred`.

        May take as long as it needs, and is cancelled when the stage stops: it then leaves nothing behind that a
        later attempt could take for finished work. Must not block the event loop.

        :param attempt: counted from 1; one more for every outcome this request has had.
        :raises Exception: only for failures of our own code, disk or log. What the vendor or the model did is an
            outcome. The stage logs the failure, tries again with growing pauses, and after five failures sets the
            request aside as a dead letter of class `bug`.
        """
        ...
