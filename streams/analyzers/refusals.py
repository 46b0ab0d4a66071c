"""What an error of the model's API means for an analysis, decided in one place.

The server's own words are not passed on: they may repeat what was sent.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from openai import APIConnectionError, APIStatusError, APITimeoutError, OpenAIError

from streams.analyzers.base import Failed, Unavailable
from streams.retries import read_retry_after

#: Codes of a 400 that tell of our settings, not of this transcript.
_WRONG_SETTINGS: Final = frozenset(
    {"model_not_found", "invalid_model", "unsupported_parameter", "unsupported_value", "unknown_parameter"}
)
_NEEDS_OPERATOR: Final = {
    401: "the model's API refused the key",
    402: "the model's API asks for payment",
    403: "the model's API does not allow this key to use the model",
    404: "the model's API has no such model, or the base URL is wrong",
}
_TRANSIENT: Final = frozenset({408, 409, 425, 429})


def judge_error(error: OpenAIError, *, now: datetime) -> Failed | Unavailable:
    """Whether to try again, whether a person has to act first, or whether it is over."""
    match error:
        case APITimeoutError():
            return Unavailable(reason="timeout")
        case APIStatusError():
            return _judge_status(error, now)
        case APIConnectionError():
            return Unavailable(reason="no connection to the model's API", concerns_all=True)
        case _:
            return Unavailable(reason=f"the model's API did not answer as it should ({type(error).__name__})")


def _judge_status(error: APIStatusError, now: datetime) -> Failed | Unavailable:
    status = error.status_code
    if status in _NEEDS_OPERATOR:
        return Unavailable(reason=f"{_NEEDS_OPERATOR[status]} (HTTP {status})", concerns_all=True)
    if error.code == "insufficient_quota":
        return Unavailable(reason="the account with the model's API has no credit left", concerns_all=True)
    if status in _TRANSIENT or status >= 500:
        retry_after_s = read_retry_after(error.response.headers.get("retry-after"), now=now)
        return Unavailable(reason=f"the model's API answered HTTP {status}", retry_after_s=retry_after_s)
    return _judge_request(error)


def _judge_request(error: APIStatusError) -> Failed | Unavailable:
    """What was sent is not accepted: is it this transcript, or are all requests like it?"""
    status = error.status_code
    if error.code == "context_length_exceeded" or status == 413:
        return Failed(reason="the transcript is too long for the model")
    if error.code == "content_filter":
        return Failed(reason="content filter")
    if error.code in _WRONG_SETTINGS or error.param == "response_format":
        named = error.code or error.param
        return Unavailable(
            reason=f"the model does not accept such requests (HTTP {status}, {named})", concerns_all=True
        )
    return Failed(reason=f"the model's API answered HTTP {status}")
