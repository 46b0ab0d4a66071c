"""Why the door turns a request away; `answers.py` gives each its HTTP status."""

from __future__ import annotations

from postcall.errors import PostcallError


class RequestRefused(PostcallError):
    """The request cannot be taken."""


class UnknownSource(RequestRefused):
    """There is no such source. The address is /webhooks/NAME or /webhooks/NAME/AGENT."""


class UnsafeAgentId(RequestRefused):
    """The agent id in the address may have letters, digits, dots, dashes, underscores and tildes, up to 128."""


class WrongMethod(RequestRefused):
    """Webhooks are sent with POST."""


class EncodedBody(RequestRefused):
    """The body must not be compressed: the signature is over the bytes as they are sent."""


class EmptyBody(RequestRefused):
    """The body is empty."""


class BodyTooLarge(RequestRefused):
    """The body is larger than this door accepts."""


class RequestTooSlow(RequestRefused):
    """The request did not arrive in time."""


class HeadTooLarge(RequestRefused):
    """The request's headers are larger than this door accepts."""


class MalformedRequest(RequestRefused):
    """This is no HTTP request that can be read."""


class DoorBusy(RequestRefused):
    """Too many requests are in flight. Try again."""


class ClientGone(RequestRefused):
    """The client went away before its request was complete."""
