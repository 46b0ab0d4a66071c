"""Reading a model's answer: chat completions as OpenAI and compatible servers write them, believed in nothing."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from pydantic import BaseModel, Field, ValidationError

M = TypeVar("M", bound=BaseModel)

_FENCE: Final = re.compile(r"\s*```(?:json)?\s*\n(?P<inside>.*?)\n?\s*```\s*", re.DOTALL)


class _Message(BaseModel):
    content: str | None = None
    refusal: str | None = None


class _Choice(BaseModel):
    message: _Message
    finish_reason: str | None = None


class _CachedTokens(BaseModel):
    cached_tokens: int | None = None


class TokenCounts(BaseModel):
    """What the server counted."""

    prompt_tokens: int = Field(ge=0)
    completion_tokens: int = Field(ge=0)
    prompt_tokens_details: _CachedTokens | None = None

    @property
    def cached_tokens(self) -> int:
        """How many of the prompt's tokens were cheaper."""
        details = self.prompt_tokens_details
        return max(0, details.cached_tokens or 0) if details else 0


class Completion(BaseModel):
    """The parts of a chat completion that matter here."""

    choices: list[_Choice] = Field(min_length=1)
    model: str | None = None
    usage: TokenCounts | None = None


class Refused(Exception):
    """The model, or its server's filter, will not answer; asking the same again would be answered the same."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Unusable:
    """An answer that does not fit: why in short, and in the words that tell the model how to do better."""

    reason: str
    advice: str
    text: str


def read_result(completion: Completion, output: type[M]) -> M | Unusable:
    """The result in the analyzer's shape, or what is wrong with it.

    :raises Refused: with the reason.
    """
    choice = completion.choices[0]
    if choice.message.refusal or choice.finish_reason == "refusal":
        raise Refused("refusal")
    if choice.finish_reason == "content_filter":
        raise Refused("content filter")
    text = choice.message.content or ""
    if choice.finish_reason == "length":
        return Unusable(reason="cut off by the length limit", advice="It was too long. Be brief.", text=text)
    if not text.strip():
        return Unusable(reason="empty answer", advice="It was empty.", text=text)
    return _validate(text, output)


def _validate(text: str, output: type[M]) -> M | Unusable:
    fenced = _FENCE.fullmatch(text)
    try:
        return output.model_validate_json(fenced["inside"] if fenced else text)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
    if first["type"] == "json_invalid":
        return Unusable(reason="invalid JSON", advice="It was not valid JSON.", text=text)
    where = _describe_place(first)
    return Unusable(reason=f"wrong schema: {where}", advice=f"The field {where}: {first['msg']}.", text=text)


def _describe_place(error: Any) -> str:
    """Where a schema is broken; names that the model made up are not repeated."""
    if error["type"] == "extra_forbidden":
        return "an unknown field"
    return ".".join(str(part) for part in error["loc"]) or "the whole answer"
