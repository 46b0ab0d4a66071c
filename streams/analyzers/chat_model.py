"""A model behind OpenAI's API, or any server that speaks its chat completions with `json_schema`.

Every request is ours to count: the client's own retries are off. `temperature` is not sent, since reasoning models
refuse it, and no limit on the answer's length, since servers disagree on its name. The transcript goes as a JSON
document in a message of its own; the instructions never contain any of it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from typing import Final
from urllib.parse import urlsplit

from openai import AsyncOpenAI, OpenAIError
from openai.types.chat import ChatCompletionMessageParam
from openai.types.shared_params import ResponseFormatJSONSchema
from pydantic import ValidationError

from postcall.messages import canonical_json
from streams.analyzers.answers import Completion, Refused, Unusable, read_result
from streams.analyzers.base import Analyzer, Extracted, Failed, Transcript, Unavailable, Usage, Verdict
from streams.analyzers.prices import find_price
from streams.analyzers.refusals import judge_error

_MAX_REPAIRS: Final = 2
#: How much of an answer that does not fit is shown to the model again.
_MAX_SHOWN: Final = 4000
_SPEAKERS: Final = {"user": "caller", "assistant": "agent", "unknown": "unknown"}

Messages = list[ChatCompletionMessageParam]


@dataclass(kw_only=True)
class _Meter:
    """Adds up what the calls of one analysis take."""

    asked_model: str
    answering_model: str | None = None
    calls: int = 0
    tokens_in: int | None = None
    tokens_out: int | None = None
    cost_usd: Decimal | None = None
    latency_s: float = 0.0

    def count(self, completion: Completion) -> None:
        counts = completion.usage
        self.answering_model = completion.model or self.answering_model
        self.calls += 1
        if counts is None:
            return
        self.tokens_in = (self.tokens_in or 0) + counts.prompt_tokens
        self.tokens_out = (self.tokens_out or 0) + counts.completion_tokens
        price = find_price(self.answering_model or self.asked_model) or find_price(self.asked_model)
        if price is not None:
            self.cost_usd = (self.cost_usd or Decimal(0)) + price.cost_usd(
                tokens_in=counts.prompt_tokens,
                cached_tokens_in=counts.cached_tokens,
                tokens_out=counts.completion_tokens,
            )

    def read(self) -> Usage:
        return Usage(
            model=self.answering_model or self.asked_model,
            tokens_in=self.tokens_in,
            tokens_out=self.tokens_out,
            cost_usd=self.cost_usd,
            model_latency_ms=round(self.latency_s * 1000),
        )


class ChatModel:
    """An `Engine`."""

    def __init__(self, *, api_key: str, base_url: str, model: str, timeout_s: float) -> None:
        self._client = AsyncOpenAI(api_key=api_key, base_url=base_url, max_retries=0, timeout=timeout_s)
        self._model = model
        self.description = f"{model} at {urlsplit(base_url).hostname}"

    async def close(self) -> None:
        """See the protocol."""
        await self._client.close()

    async def analyze(self, analyzer: Analyzer, transcript: Transcript) -> Verdict:
        """See the protocol: one call, and at most two more to repair an answer that does not fit."""
        meter = _Meter(asked_model=self._model)
        messages = _opening(analyzer, transcript)
        reason = ""
        for _ in range(1 + _MAX_REPAIRS):
            completion = await self._complete(analyzer, messages, meter)
            if not isinstance(completion, Completion):
                return completion
            try:
                result = read_result(completion, analyzer.output)
            except Refused as refusal:
                return Failed(reason=str(refusal), usage=meter.read())
            if not isinstance(result, Unusable):
                return Extracted(result=result.model_dump(mode="json"), usage=meter.read())
            messages, reason = [*messages, *_repair_messages(result)], result.reason
        return Failed(reason=reason, usage=meter.read())

    async def _complete(
        self, analyzer: Analyzer, messages: Messages, meter: _Meter
    ) -> Completion | Failed | Unavailable:
        """One call, counted in the meter whatever comes of it."""
        started = time.perf_counter()
        try:
            response = await self._client.chat.completions.with_raw_response.create(
                model=self._model,
                messages=messages,
                response_format=_response_format(analyzer),
            )
        except OpenAIError as error:
            meter.latency_s += time.perf_counter() - started
            return _with_usage(judge_error(error, now=datetime.now(UTC)), meter)
        meter.latency_s += time.perf_counter() - started
        try:
            completion = Completion.model_validate_json(response.content)
        except ValidationError:
            reason = "the model's API answered with something that is no chat completion"
            return _with_usage(Unavailable(reason=reason), meter)
        meter.count(completion)
        return completion


def _opening(analyzer: Analyzer, transcript: Transcript) -> Messages:
    turns = [
        {"turn": number, "speaker": _SPEAKERS[turn.role], "text": turn.text}
        for number, turn in enumerate(transcript.turns, start=1)
    ]
    return [
        {"role": "system", "content": analyzer.instructions},
        {"role": "user", "content": canonical_json({"transcript": turns}).decode()},
    ]


def _repair_messages(unusable: Unusable) -> Messages:
    advice = f"That answer cannot be used. {unusable.advice} Answer again, with the JSON object alone."
    messages: Messages = [{"role": "user", "content": advice}]
    if unusable.text.strip():
        messages.insert(0, {"role": "assistant", "content": unusable.text[:_MAX_SHOWN]})
    return messages


@cache
def _response_format(analyzer: Analyzer) -> ResponseFormatJSONSchema:
    schema = analyzer.output.model_json_schema()
    return {"type": "json_schema", "json_schema": {"name": analyzer.name, "strict": True, "schema": schema}}


def _with_usage(verdict: Failed | Unavailable, meter: _Meter) -> Failed | Unavailable:
    """With what earlier calls of the same analysis took, if there were any."""
    usage = meter.read()
    if isinstance(verdict, Failed):
        return Failed(reason=verdict.reason, usage=usage)
    return Unavailable(
        reason=verdict.reason,
        retry_after_s=verdict.retry_after_s,
        concerns_all=verdict.concerns_all,
        usage=usage if meter.calls else None,
    )
