"""`postcall log copy` to a Kafka that asks who is there, with the least rights that it needs."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest
from aiokafka import TopicPartition

from tests.logs.embedded import embedded_log
from tests.postcall.log_contents import Written, commit, fill, make_topic, read_log
from tests.security.rights import Rights
from tests.security.secured_node import SecuredNode
from tests.security.test_pipeline import call, environment_of

WEBHOOKS: Final = "postcall.webhooks"
#: As `docs/move-to-kafka.md` names them.
RIGHTS: Final = (
    "--operation Create --operation Write --operation Read --operation DescribeConfigs"
    " --topic postcall. --group postcall. --resource-pattern-type prefixed"
)


@pytest.mark.kafka
async def test_the_target_is_reached_by_the_security_settings(
    node: SecuredNode, rights: Rights, tmp_path: Path
) -> None:
    with embedded_log(tmp_path / "source") as source:
        await make_topic(source, WEBHOOKS)
        await fill(source, TopicPartition(WEBHOOKS, 1), [Written()] * 3)
        await commit(source, "postcall.normalize", {TopicPartition(WEBHOOKS, 1): (2, "")})
        arguments = ("log", "copy", "--from", source, "--to", node.addresses["SASL_SSL"], "--json")
        environment = environment_of(node, user="postcall")
        refused = call(*arguments, environment=environment, folder=tmp_path)
        assert refused.returncode == 1
        rights.give(f"--add --allow-principal User:postcall {RIGHTS}")
        copied = call(*arguments, environment=environment, folder=tmp_path)
        assert copied.returncode == 0, copied.stderr
        assert await read_log(node.addresses["PLAINTEXT"]) == await read_log(source)
    (line,) = refused.stderr.splitlines()
    assert "consumer groups postcall.normalize: give it the right Read" in line
