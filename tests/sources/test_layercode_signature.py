"""The signature table: what is let in, what is refused, and for which reason."""

from __future__ import annotations

import hashlib
import hmac
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postcall.errors import SettingsError
from postcall.settings import Configuration
from postcall.sources.base import SignatureRefused
from postcall.sources.layercode import Layercode, source
from postcall.sources.layercode.errors import (
    MalformedSignature,
    MissingSignature,
    SecretMissing,
    StaleSignature,
    WrongSignature,
)
from tests.sources.payloads import SECRET, make_source, read_payload

BODY = read_payload("signature_vector")
T = 1764715200
V1 = "09210d62965c7574f1d41989a83348d5b251d2afceaf42bf4c6719ae23393aa1"
NOW = datetime.fromtimestamp(T, UTC)
# A machine that is busy with other things is no failure.
patient = settings(deadline=None)


def sign(body: bytes, *, secret: str = SECRET, timestamp: str = str(T)) -> str:
    digest = hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    return f"t={timestamp},v1={digest}"


def verify(
    header: str | None,
    *,
    body: bytes = BODY,
    at: Layercode | None = None,
    now: datetime = NOW,
    agent_id: str | None = None,
) -> datetime:
    headers = {} if header is None else {"layercode-signature": header}
    return (at or make_source()).verify(body, headers, agent_id=agent_id, now=now)


def test_the_published_vector_is_let_in() -> None:
    assert len(BODY) == 112
    assert verify(f"t={T},v1={V1}") == NOW


@pytest.mark.parametrize(
    "header",
    [
        f"v1={V1},t={T}",
        f" t = {T} , v1 = {V1} ",
        f"t={T},v1={V1.upper()}",
        f"t={T},v1={'0' * 64},v1={V1}",
        f"t={T},v0=abc,v1={V1},extra,=x",
    ],
)
def test_order_blanks_case_and_further_parts_do_not_matter(header: str) -> None:
    assert verify(header) == NOW


@pytest.mark.parametrize(
    ("header", "kind"),
    [
        (None, MissingSignature),
        ("", MissingSignature),
        ("sha256=" + V1, MalformedSignature),
        (f"v1={V1}", MalformedSignature),
        (f"t={T}", MalformedSignature),
        (f"t=,v1={V1}", MalformedSignature),
        (f"t=-{T},v1={V1}", MalformedSignature),
        (f"t={T}.0,v1={V1}", MalformedSignature),
        (f"t={T},t={T},v1={V1}", MalformedSignature),
        (f"t={'9' * 5000},v1={V1}", MalformedSignature),
        (f"t=١٧٦٤٧١٥٢٠٠,v1={V1}", MalformedSignature),
        (f"t={T},v1=", WrongSignature),
        (f"t={T},v1={V1[:-1]}", WrongSignature),
        (f"t={T},v1={V1}00", WrongSignature),
        (f"t={T},v1={'é' * 64}", WrongSignature),
        (f"t={T},v1=\udc80", WrongSignature),
        (f"t={T + 1},v1={V1}", WrongSignature),
        (f"t=0{T},v1={V1}", WrongSignature),
    ],
)
def test_every_other_header_is_refused_with_its_reason(header: str | None, kind: type[SignatureRefused]) -> None:
    with pytest.raises(kind):
        verify(header)


def test_the_signed_text_holds_the_time_as_it_was_received() -> None:
    assert verify(sign(BODY, timestamp=f"0{T}")) == NOW


@pytest.mark.parametrize("changed", [BODY + b"\n", BODY.replace(b":", b": "), BODY[:-1], b""])
def test_other_bytes_are_refused(changed: bytes) -> None:
    with pytest.raises(WrongSignature):
        verify(sign(BODY), body=changed)


@pytest.mark.parametrize("seconds", [-300, -299, 0, 300])
def test_within_the_tolerance_is_fresh(seconds: int) -> None:
    assert verify(sign(BODY), now=NOW + timedelta(seconds=seconds)) == NOW


@pytest.mark.parametrize(("seconds", "words"), [(301, "301 s old"), (-301, "301 s in the future"), (10**9, "skew")])
def test_beyond_the_tolerance_the_reason_says_skew(seconds: int, words: str) -> None:
    with pytest.raises(StaleSignature, match=words) as refused:
        verify(sign(BODY), now=NOW + timedelta(seconds=seconds))
    assert "skew" in str(refused.value)


def test_a_forged_time_is_wrong_rather_than_stale() -> None:
    with pytest.raises(WrongSignature):
        verify(f"t={T},v1={'0' * 64}", now=NOW + timedelta(days=1))


def test_the_largest_time_is_stale_and_nothing_else() -> None:
    with pytest.raises(StaleSignature):
        verify(sign(BODY, timestamp="9" * 18))


@pytest.mark.parametrize("configured", [f"old,{SECRET}", f"{SECRET} next", f" , {SECRET},"])
def test_any_of_several_secrets_is_accepted(configured: str) -> None:
    assert verify(sign(BODY), at=make_source(LAYERCODE_WEBHOOK_SECRET=configured)) == NOW


def test_another_secret_is_refused() -> None:
    with pytest.raises(WrongSignature):
        verify(sign(BODY, secret="other"))


def agents_source(**environment: str) -> Layercode:
    document = {"agents": {"a1": {"webhook_secret": "env:SECRET_A1"}, "a2": {"webhook_secret": "two"}, "a3": {}}}
    return source(Configuration(environment={"SECRET_A1": "one,uno", **environment}, document=document))


@pytest.mark.parametrize(("agent_id", "secret"), [("a1", "one"), ("a1", "uno"), ("a2", "two"), (None, "two")])
def test_an_agents_own_secret_counts_for_it_and_where_no_agent_is_named(agent_id: str | None, secret: str) -> None:
    assert verify(sign(BODY, secret=secret), at=agents_source(), agent_id=agent_id) == NOW


def test_an_agents_secret_does_not_count_for_another_agent() -> None:
    with pytest.raises(WrongSignature):
        verify(sign(BODY, secret="one"), at=agents_source(), agent_id="a2")


def test_an_agent_without_a_secret_is_refused_unless_there_is_a_shared_one() -> None:
    with pytest.raises(SecretMissing):
        verify(sign(BODY), at=agents_source(), agent_id="a3")
    assert verify(sign(BODY), at=agents_source(LAYERCODE_WEBHOOK_SECRET=SECRET), agent_id="a3") == NOW


@pytest.mark.parametrize("configured", ["", " ", ",", " , "])
def test_an_empty_list_of_secrets_names_the_variable_and_the_page(configured: str) -> None:
    with pytest.raises(SettingsError, match=r"LAYERCODE_WEBHOOK_SECRET.*docs/connect-layercode\.md"):
        make_source(LAYERCODE_WEBHOOK_SECRET=configured).require_secrets()
    assert Path("docs/connect-layercode.md").is_file()


def test_agents_secrets_are_enough_and_only_needed_at_the_door() -> None:
    agents_source().require_secrets()
    without = source(Configuration(document={"agents": {"a1": {"webhook_secret": "env:NOT_HERE"}}}))
    with pytest.raises(SettingsError, match="NOT_HERE"):
        without.require_secrets()


@pytest.mark.parametrize("document", [{"agents": []}, {"agents": {"a1": 5}}, {"agents": {"a1": {"webhook_secret": 5}}}])
def test_malformed_agent_tables_are_a_users_mistake(document: dict[str, object]) -> None:
    with pytest.raises(SettingsError, match=r"postcall\.toml"):
        source(Configuration(document=document)).require_secrets()


@patient
@given(st.text(), st.binary())
def test_any_header_over_any_body_is_refused_and_nothing_else(header: str, body: bytes) -> None:
    with pytest.raises(SignatureRefused):
        verify(header, body=body)


@patient
@given(st.text(alphabet="tv10123456789abcdef=, é\x00"), st.binary(max_size=20))
def test_headers_that_look_right_are_refused_and_nothing_else(header: str, body: bytes) -> None:
    with pytest.raises(SignatureRefused):
        verify(header, body=body)
