"""What Layercode is answered, by type."""

from __future__ import annotations

import orjson
import pytest

from postcall.sources.base import Reply
from tests.sources.payloads import make_source, read_payload


def reply_to(body: bytes) -> Reply:
    source = make_source()
    return source.reply(body, source.identify(body))


@pytest.mark.parametrize(
    ("name", "turn_id"), [("message", "t-0002"), ("session_start", "t-0001"), ("old_welcome", "t0")]
)
def test_turns_are_ended_by_one_server_sent_event_with_their_id(name: str, turn_id: str) -> None:
    reply = reply_to(read_payload(name))
    assert reply.content_type == "text/event-stream"
    assert reply.body.startswith(b"data: ")
    assert reply.body.endswith(b"\n\n")
    assert orjson.loads(reply.body.removeprefix(b"data: ")) == {"type": "response.end", "turn_id": turn_id}
    assert reply.headers["cache-control"] == "no-cache, no-transform"
    assert reply.headers["content-encoding"] == "none"


def test_a_turn_without_an_id_is_ended_too() -> None:
    assert orjson.loads(reply_to(b'{"type":"message"}').body.removeprefix(b"data: ")) == {"type": "response.end"}


def test_a_turn_id_cannot_break_out_of_its_line() -> None:
    reply = reply_to(b'{"type":"message","turn_id":"a\\n\\ndata: {}\\u2028"}')
    assert reply.body.count(b"\n") == 2


def test_data_is_answered_with_a_json_object() -> None:
    reply = reply_to(read_payload("data"))
    assert reply.content_type == "application/json"
    assert orjson.loads(reply.body) == {}


@pytest.mark.parametrize(
    "body",
    [
        read_payload("session_end"),
        read_payload("session_update_failed"),
        read_payload("browser_transcript_delta"),
        b"not json",
        b"",
    ],
)
def test_everything_else_is_answered_shortly(body: bytes) -> None:
    assert reply_to(body) == Reply(content_type="text/plain; charset=utf-8", body=b"OK", headers={})
