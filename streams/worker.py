"""The contract of slow work: what a stage needs to know of downloads and model calls, and nothing more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeVar

from postcall.dead_letters import ErrorClass
from postcall.outcomes import Outcome
from postcall.requests import Request
from postcall.topics import Topic

R_contra = TypeVar("R_contra", bound=Request, contravariant=True)


@dataclass(frozen=True, kw_only=True, slots=True)
class Blame:
    """Something beyond the request that kept it from being done: the vendor, the model, a store.

    While it goes on the stage pauses, and no outcome is appended: the request has had no fair attempt.
    """

    #: In words for the operator.
    reason: str
    #: Known to be the same for every request: a key that is refused, a host that is not there. Otherwise it may be
    #: this request's own misfortune, unless the next ones share it.
    is_certain: bool = False
    #: How long the other side asks to be left alone.
    retry_after_s: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Performed:
    """What became of an attempt."""

    outcome: Outcome
    blame: Blame | None = None
    #: Whether the vendor or the model was asked and did its part; one that was not needed may be down all the same.
    has_asked: bool = True


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

    #: Where requests in bulk lie, which are done when no others wait; None = there are none.
    @property
    def bulk_requests(self) -> Topic | None: ...

    #: Where the outcomes go.
    @property
    def outcomes(self) -> Topic: ...

    #: How many requests may be under way at once.
    @property
    def concurrency(self) -> int: ...

    #: An attempt that takes longer is cancelled, and counts as a failure.
    @property
    def limit_s(self) -> float: ...

    #: Whom to ask about a request that took too long.
    @property
    def error_class(self) -> ErrorClass: ...

    async def open(self) -> None:
        """Make ready; called once, in the event loop that `perform` will run in, before any work.

        :raises PostcallError: a setting or a directory is wrong, in words for the operator: the stage does not start.
        """

    async def close(self) -> None:
        """Let go of what `open` took. `perform` is no longer running."""

    async def perform(self, request: R_contra, *, attempt: int) -> Performed:
        """Do the work once, and say what became of it: a final outcome or a `…Deferred`.

        May take up to `limit_s`, and is cancelled when the stage stops: it then leaves nothing behind that a
        later attempt could take for finished work. Must not block the event loop.

        :param attempt: counted from 1; one more for every outcome this request has had.
        :raises Exception: only for failures of our own code, disk or log. What the vendor or the model did is an
            outcome. The stage logs the failure and tries again with growing pauses. After three failures it sets the
            request aside as a dead letter, if others get through; if none does, it pauses.
        """
        ...

    def tell(self, outcome: Outcome) -> None:
        """Write the line of log that says what became of a request; called once the outcome is in the log."""
