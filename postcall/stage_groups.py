"""Who works at each stage: its consumer group, as the log's coordinator sees it."""

from __future__ import annotations

from dataclasses import dataclass

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError, for_code

from postcall.errors import LogUnavailable
from postcall.kafka import open_admin
from postcall.log_connection import LogConnection
from postcall.topics import STAGE_INPUTS, stage_group


@dataclass(frozen=True, kw_only=True, slots=True)
class StageGroup:
    """A stage's group: its members, and the coordinator's word for its state (`Stable`, `Empty`, …)."""

    stage: str
    state: str
    members: int


async def read_stage_groups(log: LogConnection) -> tuple[StageGroup, ...]:
    """Ask the log; a group that nobody ever joined has no members.

    :raises LogUnavailable: it does not answer.
    """
    async with open_admin(log) as admin:
        try:
            return tuple([await _read_group(admin, stage) for stage in STAGE_INPUTS])
        except KafkaError as error:
            raise LogUnavailable(f"The log at {log} does not answer: {error!r}.") from error


async def _read_group(admin: AIOKafkaAdminClient, stage: str) -> StageGroup:
    (response,) = await admin.describe_consumer_groups([stage_group(stage)])
    ((error_code, _name, state, _type, _protocol, members, *_),) = response.groups
    if error_code:
        raise for_code(error_code)(stage_group(stage))
    return StageGroup(stage=stage, state=state, members=len(members))
