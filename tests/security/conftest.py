"""A secured Kafka for this folder's tests, started once and emptied for each."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import pytest

from tests.logs.emptying import Emptying
from tests.logs.errors import NoKafka
from tests.security.certificates import Certificates, make_certificates
from tests.security.rights import Rights
from tests.security.secured_node import SecuredNode, secured_node


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Made for this run."""
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="session")
def started_node(tmp_path_factory: pytest.TempPathFactory, certificates: Certificates) -> Iterator[SecuredNode]:
    """One node for all tests."""
    with contextlib.ExitStack() as stack:
        try:
            node = stack.enter_context(secured_node(tmp_path_factory.mktemp("secured-kafka"), certificates))
        except NoKafka as reason:
            if os.environ.get("POSTCALL_TEST_REQUIRE_KAFKA"):
                pytest.fail(str(reason), pytrace=False)
            pytest.skip(f"No Apache Kafka for tests: {reason}")
        with contextlib.closing(Emptying(node.addresses["PLAINTEXT"])) as emptying:
            emptying.wait_for_groups()
        yield node


@pytest.fixture
def node(started_node: SecuredNode) -> SecuredNode:
    """The node, empty and with no rights given."""
    with contextlib.closing(Emptying(started_node.addresses["PLAINTEXT"])) as emptying:
        emptying.empty()
    with contextlib.closing(Rights(started_node.addresses["PLAINTEXT"])) as rights:
        rights.withdraw_all()
    return started_node


@pytest.fixture
def rights(node: SecuredNode) -> Iterator[Rights]:
    """Gives rights to users."""
    with contextlib.closing(Rights(node.addresses["PLAINTEXT"])) as given:
        yield given
