"""Every client of ours on a log that asks who is there; and what is said when the answer is wrong."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Any, Final

import pytest
import uvloop
from aiokafka import TopicPartition

from postcall.errors import LogUnavailable, TopicsRefused
from postcall.kafka import append, open_admin, open_consumer, open_producer
from postcall.log_connection import LogConnection, LogSecurity, SaslMechanism, SecurityProtocol
from postcall.records import NewRecord
from postcall.topic_creation import compare_topics, create_topics
from postcall.topic_settings import TopicSettings
from postcall.topics import ALL_TOPICS, WEBHOOKS
from tests.security.certificates import KEY_PASSWORD, Certificates
from tests.security.rights import Rights
from tests.security.secured_node import CERTIFICATE_USER, NOWHERE, PASSWORDS, SecuredNode

pytestmark = pytest.mark.kafka

PASSWORD: Final = PASSWORDS["postcall"]
WRONG: Final = "wr0ng"
ON_TOPICS: Final = "--topic postcall. --resource-pattern-type prefixed"
ALL_RIGHTS: Final = (
    "--operation Read --operation Write --operation Create --operation Describe --operation DescribeConfigs"
)


def by_password(
    certificates: Certificates,
    *,
    protocol: SecurityProtocol = "SASL_SSL",
    mechanism: SaslMechanism = "SCRAM-SHA-512",
    user: str = "postcall",
) -> LogSecurity:
    return LogSecurity(
        protocol=protocol,
        sasl_mechanism=mechanism,
        sasl_username=user,
        sasl_password=PASSWORDS[user],
        ca_file=certificates.authority if protocol == "SASL_SSL" else None,
    )


def by_certificate(certificates: Certificates) -> LogSecurity:
    return LogSecurity(
        protocol="SSL",
        ca_file=certificates.authority,
        certificate_file=certificates.client_certificate,
        key_file=certificates.client_key,
        key_password=KEY_PASSWORD,
    )


def connect(node: SecuredNode, security: LogSecurity, *, at: str | None = None) -> LogConnection:
    return LogConnection(node.addresses[at or security.protocol], security)


@pytest.fixture(params=["SCRAM-SHA-512", "PLAIN", "certificate"])
def log(request: pytest.FixtureRequest, node: SecuredNode, rights: Rights) -> LogConnection:
    """The log as somebody with all rights reaches it, in each way."""
    if request.param == "certificate":
        security, user = by_certificate(node.certificates), CERTIFICATE_USER
    else:
        security, user = by_password(node.certificates, mechanism=request.param), "postcall"
    rights.give(f"--add --allow-principal User:{user} {ALL_RIGHTS} {ON_TOPICS}")
    return connect(node, security)


async def test_every_client_is_let_in(log: LogConnection) -> None:
    assert len((await create_topics(log, TopicSettings())).made) == len(ALL_TOPICS)
    async with open_producer(log) as producer:
        await append(producer, [NewRecord(topic=WEBHOOKS.name, key=b"s1", value=b"signed", headers=())])
    async with open_consumer(log) as consumer:
        partitions = [TopicPartition(WEBHOOKS.name, number) for number in range(TopicSettings().partitions)]
        consumer.assign(partitions)
        await consumer.seek_to_beginning()
        assert (await consumer.getone()).value == b"signed"


def wrong_connections(node: SecuredNode) -> dict[str, tuple[LogConnection, tuple[str, ...]]]:
    """What can be wrong, and what the refusal names."""
    files = node.certificates
    password, certificate = by_password(files), by_certificate(files)
    plain = replace(password, sasl_mechanism="PLAIN")
    unencrypted = by_password(files, protocol="SASL_PLAINTEXT")
    bare = LogSecurity(protocol="SSL", ca_file=files.authority)
    strange = replace(certificate, certificate_file=files.stranger, key_file=None, key_password=None)
    elsewhere = node.addresses["SASL_SSL"].replace("127.0.0.1", "localhost")

    def at(protocol: str, security: LogSecurity) -> LogConnection:
        return LogConnection(node.addresses[protocol], security)

    return {
        "password": (at("SASL_SSL", replace(password, sasl_password=WRONG)), ("SASL_PASSWORD",)),
        "password, PLAIN": (at("SASL_SSL", replace(plain, sasl_password=WRONG)), ("SASL_PASSWORD",)),
        "user": (at("SASL_SSL", replace(password, sasl_username="nobody")), ("user nobody", "SASL_USERNAME")),
        "mechanism": (at("SASL_SSL", replace(password, sasl_mechanism="SCRAM-SHA-256")), ("SASL_MECHANISM=SCRAM",)),
        "authority": (at("SASL_SSL", replace(password, ca_file=files.other_authority)), ("CA_FILE", "other-ca.pem")),
        "no authority": (at("SASL_SSL", replace(password, ca_file=None)), ("CA_FILE", "the system trusts")),
        "host name": (LogConnection(elsewhere, password), ("certificate for another name", "in POSTCALL_KAFKA")),
        "plain to SSL": (at("SSL", LogSecurity()), ("SECURITY_PROTOCOL=PLAINTEXT",)),
        "plain to SASL": (at("SASL_PLAINTEXT", LogSecurity()), ("SECURITY_PROTOCOL=PLAINTEXT",)),
        "password, unencrypted": (at("SASL_SSL", unencrypted), ("SECURITY_PROTOCOL=SASL_PLAINTEXT",)),
        "password, not asked for": (at("PLAINTEXT", unencrypted), ("takes no password", "SECURITY_PROTOCOL")),
        "SSL to plain": (at("PLAINTEXT", certificate), ("SECURITY_PROTOCOL=SSL",)),
        "SSL to SASL_SSL": (at("SASL_SSL", certificate), ("SECURITY_PROTOCOL=SSL",)),
        "SASL_SSL to plain": (at("PLAINTEXT", password), ("SECURITY_PROTOCOL=SASL_SSL",)),
        "no certificate": (at("SSL", bare), ("asks for a certificate", "CERTIFICATE_FILE")),
        "certificate": (at("SSL", strange), ("does not accept our certificate", "stranger.pem")),
    }


@pytest.mark.parametrize("opening", [open_admin, open_producer, open_consumer])
async def test_a_refusal_is_one_sentence_that_names_the_setting(
    node: SecuredNode, opening: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for what, (log, named) in wrong_connections(node).items():
        said = await refusal_of(opening(log))
        assert all(word in said for word in named), f"{what}: {said}"
        assert "\n" not in said
        assert WRONG not in said
    # aiokafka tells a lot at this level.
    assert not [secret for secret in (WRONG, PASSWORD, KEY_PASSWORD) if secret in caplog.text]


async def refusal_of(opening: AbstractAsyncContextManager[Any]) -> str:
    with pytest.raises(LogUnavailable) as refusal:
        async with asyncio.timeout(20), opening:
            pass
    return str(refusal.value)


async def test_without_the_right_to_create_somebody_else_has_to(node: SecuredNode, rights: Rights) -> None:
    stranger = connect(node, by_password(node.certificates, user="stranger"))
    with pytest.raises(TopicsRefused, match=r"may not create it\..*postcall topics --create"):
        await create_topics(stranger, TopicSettings())
    rights.give(f"--add --allow-principal User:stranger --operation Create {ON_TOPICS}")
    with pytest.raises(TopicsRefused, match="right to describe"):
        await create_topics(stranger, TopicSettings())


async def test_whoever_may_only_see_the_topics_needs_no_more_once_they_are_there(
    node: SecuredNode, rights: Rights
) -> None:
    await create_topics(connect(node, LogSecurity()), TopicSettings())
    rights.give(f"--add --allow-principal User:stranger --operation Describe {ON_TOPICS}")
    stranger = connect(node, by_password(node.certificates, user="stranger"))
    report = await create_topics(stranger, TopicSettings(partitions=2))
    assert report.made == ()
    assert {difference.setting for difference in report.differences} == {"partitions"}
    assert report.uncompared == tuple(topic.name for topic in ALL_TOPICS)
    rights.give(f"--add --allow-principal User:stranger --operation DescribeConfigs {ON_TOPICS}")
    assert (await compare_topics(stranger, TopicSettings())).uncompared == ()


async def close_while_a_fetch_is_open(log: LogConnection) -> float:
    """The longest of some closings, in seconds."""
    longest_s = 0.0
    for _ in range(4):
        async with open_consumer(log) as consumer:
            partition = TopicPartition(WEBHOOKS.name, 0)
            consumer.assign([partition])
            await consumer.seek_to_beginning()
            await consumer.position(partition)
            began_at_s = time.monotonic()
        longest_s = max(longest_s, time.monotonic() - began_at_s)
    return longest_s


async def test_an_encrypted_connection_closes_at_once(node: SecuredNode, rights: Rights) -> None:
    await create_topics(connect(node, LogSecurity()), TopicSettings())
    rights.give(f"--add --allow-principal User:stranger --operation Read {ON_TOPICS}")
    stranger = connect(node, by_password(node.certificates, user="stranger"))
    # On the event loop of the services. Where a goodbye is waited for, half of the closings take 30 s there.
    assert await asyncio.to_thread(uvloop.run, close_while_a_fetch_is_open(stranger)) < 10


async def test_a_broker_that_sends_its_clients_elsewhere_is_told(node: SecuredNode) -> None:
    log = connect(node, by_password(node.certificates, protocol="SASL_PLAINTEXT", user="admin"))
    with pytest.raises(LogUnavailable, match=rf"Broker 1 .* {NOWHERE} \(advertised\.listeners\)"):
        await create_topics(log, TopicSettings())
